//! A table that was taken out of the pipeline for a while and comes back.

use super::commands::Shop;

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
