//! A table that was taken out of the pipeline for a while and comes back.

use keylane_parts::wait_until;

use super::commands::{PATIENCE, Shop};

#[test]
fn a_table_that_was_taken_out_and_comes_back_is_copied_anew() {
    let shop = Shop::new();
    shop.init();
    let caught_up = || {
        let run = shop.run(&["run", "--until-caught-up"]);
        let told = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(run.status.success(), "{told}");
    };
    caught_up();
    shop.configure("    tables:", "    exclude: [orders]\n    tables:");
    shop.sql(
        "origin.db",
        "INSERT INTO customers VALUES (3, 'c'); INSERT INTO orders VALUES (12, 3, 3.0); UPDATE orders SET total = 9 WHERE id = 10;",
    );
    caught_up();
    let count = |sql| shop.count("replica.db", sql);
    assert_eq!(count("SELECT count(*) FROM customers"), 3);
    assert_eq!(count("SELECT count(*) FROM orders"), 2);
    shop.configure("    exclude: [orders]\n", "");
    shop.sql("origin.db", "INSERT INTO orders VALUES (13, 1, 4.0);");
    caught_up();
    assert_eq!(count("SELECT count(*) FROM orders WHERE id IN (12, 13)"), 2);
    assert_eq!(
        count("SELECT count(*) FROM orders WHERE id = 10 AND total = 9"),
        1
    );
}

#[test]
fn nothing_waits_for_a_table_that_was_taken_out() {
    let shop = Shop::new();
    shop.init();
    let caught_up = |number: u32| {
        let log = format!("run-{number}.log");
        let mut run = shop.start_as(&["run", "--until-caught-up"], &log);
        let ended = wait_until("the road to catch up", PATIENCE, || {
            Ok(run.try_wait().is_ok_and(|end| end.is_some()))
        });
        let told = std::fs::read_to_string(shop.path(&log)).unwrap_or_default();
        assert!(ended.is_ok(), "{told}");
        assert!(run.wait().is_ok_and(|end| end.success()), "{told}");
    };
    caught_up(1);
    shop.configure("    tables:", "    exclude: [orders]\n    tables:");
    // Each start forgets what it knew of unique values, and has the first changes wait for everything before.
    for number in 2..=4 {
        shop.sql(
            "origin.db",
            &format!("INSERT INTO customers VALUES ({number} + 1, 'c'); UPDATE customers SET email = id || '-{number}'"),
        );
        caught_up(number);
    }
    let renamed = "SELECT count(*) FROM customers WHERE email = id || '-4'";
    assert_eq!(shop.count("replica.db", renamed), 5);
}
