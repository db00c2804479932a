//! A settle marker's place: above everything committed before it, at or below its own commit.

use keylane::postgres::capture::emit_settle_marker;
use keylane_core::capture::OriginEvent;

use super::harness::on_every_version;

#[test]
fn a_settle_markers_place_lies_above_every_earlier_commit_and_not_above_its_own() {
    on_every_version("cap_settle", async |database| {
        database.sql("CREATE TABLE t (id int PRIMARY KEY)");
        let mut capturer = database.open().await;
        let client = database.client().await;
        for round in 0..20 {
            let asynchronous = if round % 2 == 0 {
                "SET synchronous_commit = off;"
            } else {
                ""
            };
            database.sql(&format!("{asynchronous} INSERT INTO t VALUES ({round})"));
            let place = emit_settle_marker(&client).await.expect("written");
            let told = capturer.commits(2).await;
            let commits: Vec<u64> = told
                .iter()
                .filter_map(|event| match event {
                    OriginEvent::Begin { commit, .. } => Some(*commit),
                    _ => None,
                })
                .collect();
            let [row, marker] = commits.as_slice() else {
                unreachable!("{told:?}")
            };
            assert!(*row < place && place <= *marker, "{row} {place} {marker}");
            assert!(
                told.iter()
                    .any(|event| matches!(event, OriginEvent::Message))
            );
        }
    });
}
