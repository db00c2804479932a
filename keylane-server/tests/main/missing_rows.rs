//! `apply.missing_rows: stop` on a whole road: it stops at a row that was lost, each time anew, and never at one that is only not copied yet.

use std::process::Output;

use keylane_parts::wait_until;

use super::commands::{PATIENCE, Shop};

/// A shop whose configuration says `stop`.
fn shop(chunk_rows: u32) -> Shop {
    let shop = Shop::new();
    shop.init();
    let lines = format!(
        "\n    capture:\n      chunk_rows: {chunk_rows}\n\n    apply:\n      missing_rows: stop\n"
    );
    shop.configure("\n    apply:\n", &lines);
    shop
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_lost_row_stops_the_pipeline_at_every_start_until_it_is_back() {
    let shop = shop(100);
    let mut road = shop.start();
    wait_until("the copy to be known as applied", PATIENCE, || {
        let known = "SELECT count(*) FROM keylane_progress WHERE pipeline = 'shop/copied' AND next_offset > 0";
        Ok(shop.path("replica.db").exists() && shop.count("replica.db", known) == 1)
    })
    .expect("it is known");
    shop.sql("replica.db", "DELETE FROM orders WHERE id = 10;");
    shop.sql(
        "origin.db",
        "BEGIN; UPDATE orders SET total = 9 WHERE id = 10; UPDATE orders SET total = 8 WHERE id = 11; COMMIT;",
    );
    let mut end = None;
    wait_until("the road to stop", PATIENCE, || {
        end = road.try_wait().expect("it can be asked");
        Ok(end.is_some())
    })
    .expect("it stops");
    assert_eq!(end.and_then(|end| end.code()), Some(1));
    let log = std::fs::read_to_string(shop.path("run.log")).expect("its log");
    assert!(
        log.contains(
            "KL-APPLY-012: the replica's table main.orders lacks rows that the origin changed: 1 of"
        ),
        "{log}"
    );

    let again = shop.run(&["run", "--until-caught-up"]);
    assert_eq!(again.status.code(), Some(1), "{}", told(&again));
    assert!(told(&again).contains("KL-APPLY-012"), "{}", told(&again));
    let kept = "SELECT count(*) FROM orders WHERE id = 10";
    assert_eq!(shop.count("replica.db", kept), 0, "nothing of it is kept");

    shop.sql("replica.db", "INSERT INTO orders VALUES (10, 1, 1.5);");
    let mended = shop.run(&["run", "--until-caught-up"]);
    assert_eq!(mended.status.code(), Some(0), "{}", told(&mended));
    let both =
        "SELECT count(*) FROM orders WHERE (id = 10 AND total = 9) OR (id = 11 AND total = 8)";
    assert_eq!(shop.count("replica.db", both), 2);
}

/// The changes come before their rows in the log, and the copy is complete there before the applier starts, which is killed in their middle.
#[test]
fn changes_of_rows_that_are_not_copied_yet_stop_nothing() {
    let shop = shop(50);
    shop.sql(
        "origin.db",
        "WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 6000) INSERT INTO orders SELECT i, 1, 0 FROM n;",
    );
    let mut capture = shop.start_as(&["run", "--only", "capture"], "capture.log");
    wait_until("the copy to be in the log", PATIENCE, || {
        // The last rows to be copied, changed all the while.
        shop.sql(
            "origin.db",
            "UPDATE orders SET total = total + 1 WHERE id > 5970;",
        );
        let log = std::fs::read_to_string(shop.path("capture.log")).unwrap_or_default();
        Ok(log.contains("the initial copy is complete"))
    })
    .expect("it is there");
    capture.kill().expect("it is killed");
    capture.wait().expect("it ends");

    let mut apply = shop.start_as(&["run", "--only", "apply"], "apply.log");
    wait_until("some rows to be applied", PATIENCE, || {
        let ended = apply.try_wait().expect("it can be asked");
        assert_eq!(ended, None, "nothing stops it");
        Ok(shop.path("replica.db").exists()
            && shop.count("replica.db", "SELECT count(*) FROM orders") > 0)
    })
    .expect("they are");
    apply.kill().expect("it is killed");
    apply.wait().expect("it ends");

    let end = shop.run(&["run", "--until-caught-up"]);
    assert_eq!(end.status.code(), Some(0), "{}", told(&end));
    for sql in [
        "SELECT count(*) FROM orders",
        "SELECT CAST(sum(total) AS INTEGER) FROM orders WHERE id > 5970",
    ] {
        let (origin, replica) = (shop.count("origin.db", sql), shop.count("replica.db", sql));
        assert_eq!(replica, origin, "{sql}");
    }
}
