//! Exactly once: replays, fences, processes that were taken over.

use std::sync::Arc;
use std::time::Duration;

use keylane_core::apply::{Held, Mode, PartitionLow, PartitionSpec, Replica as _};
use keylane_core::error::ApplyErrorKind;
use keylane_core::model::{Epoch, Lane, LaneCount, Offset, Position, TopicPartition};
use keylane_core::publish::Acceptance;

use super::bed::{AUDIT, Bed, MODES, PIPELINE, insert, partition, shape, spec, update};

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_comes_again_has_no_second_effect() {
    let Some(bed) = Bed::new("apply_replay").await else {
        return;
    };
    bed.sql(&format!(
        "CREATE TABLE t (id int PRIMARY KEY, v text);{AUDIT}"
    ));
    let t = shape("t", 1, &["id integer", "v text"]);
    for (round, mode) in MODES.into_iter().enumerate() {
        let mut lane = bed.lane(0).await;
        let mut session = bed.session().await;
        let batch = lane.batch(mode, &[insert(&t, 1 + round as u64, &["1", "a"])]);
        session.apply(&batch).await.expect("applied");
        let again = session.apply(&batch).await.expect_err("a replay");
        assert_eq!(again.kind, ApplyErrorKind::Fenced, "{mode:?}");
        let audited = bed.sql("SELECT count(*) FROM audit");
        assert_eq!(audited, (round + 1).to_string(), "{mode:?}");
        let progress = bed.replica.progress(PIPELINE).await.expect("progress");
        let stored = progress[0].lanes[&lane.lane];
        assert_eq!(stored, (lane.next, lane.position), "{mode:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_writes_nothing_after_its_lane_is_taken() {
    let Some(bed) = Bed::new("apply_zombie").await else {
        return;
    };
    bed.sql("CREATE TABLE t (id int PRIMARY KEY, v text)");
    let t = shape("t", 1, &["id integer", "v text"]);
    for mode in MODES {
        let mut zombie = bed.lane(1).await;
        let mut session = bed.session().await;
        let owner = bed.lane(1).await;
        assert!(owner.owner_epoch > zombie.owner_epoch);
        let batch = zombie.batch(mode, &[insert(&t, 1, &["1", "zombie"])]);
        let error = session.apply(&batch).await.expect_err("fenced");
        assert_eq!(error.kind, ApplyErrorKind::Fenced, "{mode:?}");
        assert_eq!(bed.sql("SELECT count(*) FROM t"), "0");
        // The session is as good as new.
        let mut owner = owner;
        let batch = owner.batch(mode, &[insert(&t, 1, &["1", "owner"])]);
        session.apply(&batch).await.expect("applied");
        bed.sql("DELETE FROM t; DELETE FROM keylane.progress");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fence_waits_for_an_open_transaction_and_reads_what_it_left() {
    let Some(bed) = Bed::new("apply_fence_waits").await else {
        return;
    };
    // The trigger holds the transaction open until the test lets it go.
    bed.sql(
        "CREATE TABLE t (id int PRIMARY KEY, v text);
         CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock(7); RETURN new; END $$;
         CREATE TRIGGER hold BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION hold();",
    );
    let t = shape("t", 1, &["id integer", "v text"]);
    let bed = Arc::new(bed);
    let mut lane = bed.lane(0).await;
    let holder = bed.holder().await;
    holder
        .batch_execute("SELECT pg_advisory_lock(7)")
        .await
        .expect("held");
    let mut session = bed.session().await;
    let batch = lane.batch(Mode::Folded, &[insert(&t, 5, &["1", "a"])]);
    let applying = tokio::spawn(async move { session.apply(&batch).await });
    bed.wait_for("the data transaction to hang", "advisory")
        .await;
    let fencing = tokio::spawn({
        let bed = bed.clone();
        async move { bed.replica.fence(PIPELINE, &[spec()]).await }
    });
    bed.wait_for("the fence to wait for it", "transactionid")
        .await;
    assert!(!fencing.is_finished());
    holder
        .batch_execute("SELECT pg_advisory_unlock(7)")
        .await
        .expect("let go");
    applying.await.expect("joined").expect("applied");
    let progress = tokio::time::timeout(Duration::from_secs(20), fencing)
        .await
        .expect("the fence goes on")
        .expect("joined")
        .expect("fenced");
    assert_eq!(
        progress[0].lanes[&lane.lane],
        (Offset(1), Position::new(5, 0))
    );
    assert_eq!(progress[0].owner_epoch, lane.owner_epoch + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_that_waits_for_the_fence_is_fenced_when_it_goes_on() {
    let Some(bed) = Bed::new("apply_zombie_waits").await else {
        return;
    };
    bed.sql("CREATE TABLE t (id int PRIMARY KEY, v text)");
    let t = shape("t", 1, &["id integer", "v text"]);
    for mode in MODES {
        let mut zombie = bed.lane(3).await;
        let fence = bed.holder().await;
        let raise = "BEGIN; UPDATE keylane.progress SET owner_epoch = owner_epoch + 1";
        fence.batch_execute(raise).await.expect("raised");
        let mut session = bed.session().await;
        let batch = zombie.batch(mode, &[insert(&t, 1, &["1", "zombie"])]);
        let applying = tokio::spawn(async move { session.apply(&batch).await });
        bed.wait_for("the zombie to wait", "transactionid").await;
        fence.batch_execute("COMMIT").await.expect("committed");
        let error = applying.await.expect("joined").expect_err("fenced");
        assert_eq!(error.kind, ApplyErrorKind::Fenced, "{mode:?}");
        assert_eq!(bed.sql("SELECT count(*) FROM t"), "0");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_not_the_one_that_was_applied_is_refused() {
    let Some(bed) = Bed::new("apply_identity").await else {
        return;
    };
    bed.lane(0).await;
    let mut recreated = spec();
    recreated.topic_id = Arc::from("id-2");
    let mut grown = spec();
    grown.partitions = 3;
    let mut finer = spec();
    finer.lanes = LaneCount(8);
    for (other, word) in [
        (recreated, "deleted and created again"),
        (grown, "keys have moved"),
        (finer, "lanes back to 4"),
    ] {
        let error = bed.replica.fence(PIPELINE, &[other]).await.expect_err(word);
        assert_eq!(error.kind, ApplyErrorKind::Other);
        assert!(error.message.contains(word), "{error}");
        assert!(
            error.message.contains("DELETE FROM keylane.progress"),
            "{error}"
        );
    }
    // Nothing was raised by what was refused.
    assert_eq!(bed.lane(0).await.owner_epoch, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn low_marks_are_saved_by_the_owner_alone() {
    let Some(bed) = Bed::new("apply_low").await else {
        return;
    };
    let stale = bed.lane(0).await;
    let owner = bed.lane(0).await;
    let mut session = bed.session().await;
    let low = |owner_epoch| PartitionLow {
        partition: partition(),
        owner_epoch,
        low: Offset(9),
        low_position: Position::new(u64::MAX, u32::MAX),
        acceptance: Acceptance {
            epoch: Epoch(3),
            reached: Position::new(8, 1),
        },
        held: Held::default(),
    };
    let error = session
        .save_low(PIPELINE, &[low(stale.owner_epoch)])
        .await
        .expect_err("stale");
    assert_eq!(error.kind, ApplyErrorKind::Fenced);
    session
        .save_low(PIPELINE, &[low(owner.owner_epoch)])
        .await
        .expect("saved");
    let stored = bed
        .replica
        .progress(PIPELINE)
        .await
        .expect("progress")
        .remove(0);
    let asked = low(owner.owner_epoch);
    assert_eq!(
        (stored.low, stored.low_position, stored.acceptance),
        (asked.low, asked.low_position, asked.acceptance)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn low_marks_are_saved_only_where_all_that_they_stand_for_is_held() {
    let Some(bed) = Bed::new("apply_held").await else {
        return;
    };
    bed.sql("CREATE TABLE t (id int PRIMARY KEY, v text)");
    let t = shape("t", 1, &["id integer", "v text"]);
    let mut lane = bed.lane(1).await;
    let mut session = bed.session().await;
    let batch = lane.batch(Mode::Folded, &[insert(&t, 5, &["1", "a"])]);
    session.apply(&batch).await.expect("applied");
    let low = |held: u64, ahead: &[(Lane, Offset)]| PartitionLow {
        partition: partition(),
        owner_epoch: lane.owner_epoch,
        low: Offset(9),
        low_position: Position::new(9, 0),
        acceptance: Acceptance::default(),
        held: Held {
            low: Offset(held),
            ahead: ahead.to_vec(),
        },
    };
    let (reached, beyond) = (lane.next, lane.next.next());
    for lacking in [
        low(0, &[(lane.lane, beyond)]),
        low(0, &[(lane.lane, reached), (Lane(0), Offset(1))]),
        low(1, &[(lane.lane, reached)]),
    ] {
        let refused = session.save_low(PIPELINE, &[lacking]).await;
        let refused = refused.expect_err("less is held");
        assert_eq!(refused.kind, ApplyErrorKind::Fenced, "{refused}");
    }
    let held = low(0, &[(lane.lane, reached)]);
    session.save_low(PIPELINE, &[held]).await.expect("held");
    session
        .save_low(PIPELINE, &[low(9, &[])])
        .await
        .expect("the mark as saved");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_lost_unused_is_told_once() {
    let Some(bed) = Bed::new("apply_lost_unused").await else {
        return;
    };
    bed.sql("CREATE TABLE t (id int PRIMARY KEY, v text)");
    let t = shape("t", 1, &["id integer", "v text"]);
    let mut lane = bed.lane(0).await;
    let mut session = bed.session().await;
    let batch = lane.batch(Mode::Folded, &[insert(&t, 1, &["1", "a"])]);
    session.apply(&batch).await.expect("applied");
    bed.sql("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()");
    let batch = lane.batch(Mode::Folded, &[insert(&t, 2, &["2", "b"])]);
    let told = session.apply(&batch).await.expect_err("it is lost");
    assert_eq!(told.kind, ApplyErrorKind::Unreachable, "{told}");
    session.apply(&batch).await.expect("a new one");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_lanes_and_sessions_do_not_stand_in_each_others_way() {
    let Some(bed) = Bed::new("apply_parallel").await else {
        return;
    };
    bed.sql(&format!(
        "CREATE TABLE t (id int PRIMARY KEY, v text);{AUDIT}"
    ));
    let t = shape("t", 1, &["id integer", "v text"]);
    let bed = Arc::new(bed);
    let fenced = bed
        .replica
        .fence(PIPELINE, &[spec()])
        .await
        .expect("fenced");
    let mut tasks = Vec::new();
    for number in 0..4u16 {
        let (bed, t) = (bed.clone(), t.clone());
        let owner_epoch = fenced[0].owner_epoch;
        tasks.push(tokio::spawn(async move {
            let mut lane = super::bed::LaneAt {
                lane: keylane_core::model::Lane(number),
                owner_epoch,
                next: Offset(0),
                position: Position::ZERO,
            };
            let mut session = bed.session().await;
            for round in 0..20u64 {
                let id = (u64::from(number) * 1000 + round).to_string();
                let changes = [
                    insert(&t, round * 2 + 1, &[&id, "a"]),
                    update(&t, round * 2 + 2, &[&id, "b"]),
                ];
                let mode = if round % 2 == 0 {
                    Mode::Unfolded
                } else {
                    Mode::Folded
                };
                let batch = lane.batch(mode, &changes);
                session.apply(&batch).await.expect("applied");
            }
        }));
    }
    for task in tasks {
        task.await.expect("joined");
    }
    assert_eq!(
        bed.sql("SELECT count(*), count(*) FILTER (WHERE v = 'b') FROM t"),
        "80|80"
    );
    // Folded to one insert, or insert and update: each once.
    assert_eq!(bed.sql("SELECT count(*) FROM audit"), "120");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_low_marks_are_those_of_all_progress_and_a_database_knows_itself_again() {
    let Some(bed) = Bed::new("apply_lows").await else {
        return;
    };
    assert_eq!(bed.replica.lows(PIPELINE).await.expect("none yet"), []);
    let specs: Vec<_> = ["b", "a", "a.b"]
        .into_iter()
        .flat_map(|topic| (0..3).map(move |number| TopicPartition::new(topic, number)))
        .map(|partition| PartitionSpec {
            partition,
            partitions: 3,
            ..spec()
        })
        .collect();
    let fenced = bed.replica.fence(PIPELINE, &specs).await.expect("fenced");
    bed.replica
        .fence("another", &specs[..1])
        .await
        .expect("fenced");
    assert_eq!(fenced.len(), 9);
    let all = bed.replica.progress(PIPELINE).await.expect("progress");
    let mut lows = bed.replica.lows(PIPELINE).await.expect("lows");
    lows.sort_by(|one, other| one.partition.cmp(&other.partition));
    let mut without_lanes = all.clone();
    for progress in &mut without_lanes {
        assert!(!std::mem::take(&mut progress.lanes).is_empty());
    }
    without_lanes.sort_by(|one, other| one.partition.cmp(&other.partition));
    assert_eq!(lows, without_lanes);
    let identity = bed.replica.identity().await.expect("an identity");
    assert_eq!(bed.replica.identity().await.expect("again"), identity);
    let other = Bed::new("apply_lows_other")
        .await
        .expect("another database");
    assert_ne!(other.replica.identity().await.expect("its own"), identity);
}
