//! The database dies in the middle.

use std::time::Duration;

use keylane_core::apply::{Applied, ApplyError, Mode, Replica as _};
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
        // Killed at another moment each round: before, within, or after the batch.
        let within = Duration::from_millis(round * 9);
        let told = kill_within(&mut server, within, session.apply(&batch)).await;
        let there: u64 = server
            .psql("shop", "SELECT count(*) FROM audit")
            .expect("counted")
            .parse()
            .expect("a number");
        let whole = there == done * 400 + 400;
        assert!(
            whole || (there == done * 400 && !told),
            "{there} after {done} rounds, told of success: {told}"
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
    let last = lane.batch(Mode::Folded, &[update(&t, commit + 1, &["0", "z"])]);
    let mut applied = session.apply(&last).await;
    // Where the last kill came after the answer, the lost connection is told now, once.
    if matches!(&applied, Err(error) if error.kind == ApplyErrorKind::Unreachable) {
        applied = session.apply(&last).await;
    }
    applied.expect("the session goes on");
}

/// Kills the server in the middle and starts it again. Returns whether the batch was said to be applied.
async fn kill_within(
    server: &mut Postgres,
    within: Duration,
    applying: impl Future<Output = Result<Applied, ApplyError>>,
) -> bool {
    let killed = async {
        tokio::time::sleep(within).await;
        server.kill9().expect("killed");
    };
    let (outcome, ()) = tokio::join!(applying, killed);
    server.restart().expect("back");
    match outcome {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.kind, ApplyErrorKind::Unreachable, "{error}");
            false
        }
    }
}
