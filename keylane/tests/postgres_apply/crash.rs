//! The database dies in the middle.

use keylane_core::apply::{Mode, Replica as _};
use keylane_core::error::ApplyErrorKind;
use keylane_core::model::Change;
use keylane_parts::{Postgres, PostgresVersion};

use super::bed::{AUDIT, Bed, insert, shape, update};

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_there_whole_or_not_at_all_after_kill_nine_of_the_database() {
    if keylane_parts::quick() {
        return;
    }
    let mut server = Postgres::start(PostgresVersion::V15).expect("a PostgreSQL");
    server.create_database("shop").expect("a database");
    server
        .psql(
            "shop",
            &format!("CREATE TABLE t (id int PRIMARY KEY, v text);{AUDIT}"),
        )
        .expect("tables");
    let bed = Bed::at(server.url("shop")).await;
    bed.replica.prepare().await.expect("own tables");
    let t = shape("t", 1, &["id integer", "v text"]);
    let mut session = bed.session().await;
    let mut lane = bed.lane(0).await;
    let mut commit = 0;
    let mut done = 0u64;
    for round in 0..6u64 {
        let mode = if round % 2 == 0 {
            Mode::Folded
        } else {
            Mode::Unfolded
        };
        let changes: Vec<Change> = (0..400)
            .map(|index| {
                commit += 1;
                let id = (done * 400 + index).to_string();
                insert(&t, commit, &[&id, "a"])
            })
            .collect();
        let batch = lane.batch(mode, &changes);
        let applying = session.apply(&batch);
        // Killed at another moment each round: before, within, or after the batch.
        let pause = std::time::Duration::from_millis(round * 9);
        let killed = async {
            tokio::time::sleep(pause).await;
            server.kill9().expect("killed");
        };
        let (outcome, ()) = tokio::join!(applying, killed);
        if let Err(error) = &outcome {
            assert_eq!(error.kind, ApplyErrorKind::Unreachable, "{error}");
        }
        server.restart().expect("back");
        let before = done * 400;
        let there: u64 = server
            .psql("shop", "SELECT count(*) FROM audit")
            .expect("counted")
            .parse()
            .expect("a number");
        let whole = there == before + 400;
        assert!(
            whole || (there == before && outcome.is_err()),
            "{there} after {before}"
        );
        lane = bed.lane(0).await;
        assert_eq!(lane.next.0, there, "progress goes with the rows");
        if !whole {
            // The same again, over the same session, without a kill.
            session
                .apply(&lane.batch(mode, &changes))
                .await
                .expect("applied");
        }
        done += 1;
    }
    let doubled = "SELECT count(*) - count(DISTINCT id), count(*) FROM audit";
    assert_eq!(
        server.psql("shop", doubled).expect("counted"),
        format!("0|{}", done * 400)
    );
    let last = update(&t, commit + 1, &["0", "z"]);
    session
        .apply(&lane.batch(Mode::Folded, &[last]))
        .await
        .expect("the session goes on");
}
