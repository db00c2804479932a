//! `capture.in_flight_bytes` reaches the embedded log: what a capturer holds while the log is held up.

use keylane_parts::wait_until;
use serde_json::Value;

use super::commands::{PATIENCE, Shop};

const ROWS: u64 = 4000;

#[test]
fn a_capturer_reads_no_more_than_in_flight_bytes_while_the_embedded_log_is_held_up() {
    let shop = Shop::new();
    shop.init();
    let capture = "\n    capture:\n      in_flight_bytes: 1MiB\n\n    apply:\n";
    shop.configure("\n    apply:\n", capture);
    let mut road = shop.start_as(&["run", "--only", "capture"], "run.log");
    let told = |name: &str| {
        let status = std::fs::read(shop.path(".keylane/shop.capture.status.json"));
        let status: Value = serde_json::from_slice(&status.unwrap_or_default()).unwrap_or_default();
        status["capture"][name].as_u64().unwrap_or_default()
    };
    let captured = || told("captured");
    // A capturer that waits for its checkpoint to be durable reads nothing: that one is stored.
    rests("the copy to be confirmed", || told("confirmed"));
    let before = captured();
    assert!(before >= 4, "{before} rows are copied");

    let holder = rusqlite::Connection::open(shop.path(".keylane/log.db")).expect("it opens");
    holder.busy_timeout(PATIENCE).expect("a busy timeout");
    holder.execute_batch("BEGIN IMMEDIATE").expect("it is held");
    shop.sql(
        "origin.db",
        &format!(
            "WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < {}) INSERT INTO customers SELECT i, hex(randomblob(500)) FROM n;",
            ROWS + 99
        ),
    );
    rests("the capturer to wait", || captured() - before);
    let last = captured() - before;
    let in_flight = told("in_flight_bytes");
    assert!(in_flight <= 1 << 20, "{in_flight} bytes are in flight");
    // Each change is more than 1,000 bytes.
    assert!(last < 1 << 10, "{last} changes are held");
    holder.execute_batch("ROLLBACK").expect("it is released");
    wait_until("all to be captured", PATIENCE, || {
        assert_eq!(road.try_wait().expect("it can be asked"), None);
        Ok(captured() - before == ROWS)
    })
    .expect("it goes on");
    road.kill().expect("it is killed");
    road.wait().expect("it ends");
    let log = std::fs::read_to_string(shop.path("run.log")).expect("its log");
    assert!(
        !log.contains("not reachable"),
        "to wait is no failure: {log}"
    );
}

/// Waits until a number is not 0 and stays as it is for seconds: the status file is replaced twice a second.
fn rests(what: &str, number: impl Fn() -> u64) {
    let (mut last, mut same) = (0, 0);
    let rests = wait_until(what, PATIENCE, || {
        let now = number();
        same = if now == last { same + 1 } else { 0 };
        last = now;
        Ok(now > 0 && same > 40)
    });
    rests.expect(what);
}
