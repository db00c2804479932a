//! SQLite as origin.
use std::time::Duration;

use keylane::sqlite::capture::{SqliteOrigin, SqliteOriginOptions};
use keylane_core::capture::{Origin, OriginEvent};

/// Events until the stream rests.
pub(crate) async fn until_idle(origin: &mut SqliteOrigin) -> Vec<OriginEvent> {
    let mut all = Vec::new();
    loop {
        let next = tokio::time::timeout(Duration::from_secs(10), origin.next(1 << 20)).await;
        let events = next
            .expect("waited 10 s for the origin to rest")
            .expect("told");
        for event in events {
            if matches!(event, OriginEvent::Idle { .. }) {
                return all;
            }
            all.push(event);
        }
    }
}

#[tokio::test]
async fn what_any_writer_does_is_told_in_order() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("origin.db");
    let shop = rusqlite::Connection::open(&path).expect("opened");
    shop.execute_batch(
        "PRAGMA journal_mode=WAL; CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, price REAL); CREATE TABLE audit (what)",
    )
    .expect("made");
    let mut origin = SqliteOrigin::connect(SqliteOriginOptions::at(&path))
        .await
        .expect("connected");
    let opened = origin.open().await.expect("opened");
    assert_eq!(opened.epoch.0, 1);
    shop.execute_batch("INSERT INTO item VALUES (1, 'a', 1.0); UPDATE item SET id = 2; INSERT INTO audit VALUES (x'00'); DELETE FROM item")
        .expect("written");
    let events = until_idle(&mut origin).await;
    assert_eq!(events.len(), 12, "{events:?}");
}
