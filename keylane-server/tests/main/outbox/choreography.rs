//! Choreographed sagas over the whole road: three services, each with its steps, its barrier and its outbox in a database of its own, hear each other over Kafka while the capturer of all three is killed.

use std::sync::Arc;

use keylane::consumer::Consumer;
use keylane::participant::{PostgresChoreography, PostgresHandler, Reaction, StepError, hear};
use keylane_parts::wait_until;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::bed::{configure, pipeline};
use crate::bed::{Bed, PATIENCE, left_out, postgres};
use crate::running::Running;

const EFFECTS: &str = "create table effects (saga text not null, what text not null)";
const TOPIC: &str = "choreo.events";
const SAGAS: usize = 60;

/// Payment says no to every tenth saga.
fn action(says_no: bool) -> PostgresHandler {
    Arc::new(move |call, tx| {
        Box::pin(async move {
            tx.execute("INSERT INTO effects VALUES ($1, 'did')", &[&call.saga])
                .await?;
            match says_no && call.saga.ends_with('0') {
                true => Err(StepError::rejected("no money")),
                false => Ok(json!({"by": call.step})),
            }
        })
    })
}

fn undo() -> PostgresHandler {
    Arc::new(|call, tx| {
        Box::pin(async move {
            tx.execute("INSERT INTO effects VALUES ($1, 'undid')", &[&call.saga])
                .await?;
            Ok(Value::Null)
        })
    })
}

/// A service that hears all events, in a database of this name.
async fn serve(bed: &Bed, step: &str, on: &str, stop: &CancellationToken) {
    bed.origin_sql(EFFECTS);
    let reaction = Reaction::of(step, TOPIC)
        .on(on)
        .action(action(step == "payment"))
        .undo(undo());
    let service = PostgresChoreography::new(bed.origin_url(), format!("/{step}"), vec![reaction]);
    service.create_tables().await.expect("tables");
    let consumer = Consumer::kafka(&bed.kafka, format!("choreo-{step}")).topic(TOPIC);
    let (service, stop) = (Arc::new(service), stop.clone());
    tokio::spawn(async move { hear(service, consumer, stop).await.expect("it hears") });
}

/// Kills the capturer of all four times, each time after something more has taken effect, and brings it back; `last` effects are all there will be.
fn kill_while_they_work(beds: &[Bed], mut road: Running, last: usize) -> Running {
    let effects = || -> usize {
        beds.iter()
            .filter_map(|bed| {
                bed.origin_sql("select count(*) from effects")
                    .parse::<usize>()
                    .ok()
            })
            .sum()
    };
    for _ in 0..4 {
        let before = effects();
        beds[0].wait(&road, "more to take effect", || {
            let now = effects();
            now > before || now == last
        });
        road.kill9();
        road = beds[0].start(&["--only", "capture"]);
    }
    road
}

#[test]
fn services_that_hear_each_other_do_and_undo_once_while_their_capturer_is_killed() {
    if left_out() {
        return;
    }
    let beds = ["choreo_stock", "choreo_payment", "choreo_shipping"].map(Bed::bare);
    let pipelines: Vec<String> = beds
        .iter()
        .map(|bed| pipeline(bed.name, &postgres(&bed.origin_url()), TOPIC))
        .collect();
    configure(&beds[0], &pipelines);
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let stop = CancellationToken::new();
    let steps = [
        ("stock", "order.placed"),
        ("payment", "stock.done"),
        ("shipping", "payment.done"),
    ];
    // Its own topic first: a consumer of one that is not there waits.
    runtime.block_on(super::bed::make_topic(&beds[0].kafka, TOPIC));
    for (bed, (step, on)) in beds.iter().zip(steps) {
        runtime.block_on(serve(bed, step, on, &stop));
    }
    let mut road = beds[0].start(&["--only", "capture"]);
    for bed in &beds {
        beds[0].wait(&road, "every capture to stream", || {
            let all = beds[0].json(&["status", "--format", "json", bed.name], 0);
            all["pipelines"][0]["state"] == "caught_up"
        });
    }
    beds[0].origin_sql(&format!(
        "insert into keylane_outbox (topic, partition_key, type, headers, payload)
         select '{TOPIC}', 's' || n, 'order.placed', jsonb_build_object('ce_correlationid', 's' || n), '\\x7b7d' from generate_series(1, {SAGAS}) n"
    ));
    let count = |bed: &Bed, what: &str| {
        bed.origin_sql(&format!(
            "select count(*), count(distinct saga) from effects where what = '{what}'"
        ))
    };
    let (all, no) = (SAGAS, SAGAS / 10);
    let expect = [
        (format!("{all}|{all}"), format!("{no}|{no}")),
        (format!("{}|{}", all - no, all - no), "0|0".to_owned()),
        (format!("{}|{}", all - no, all - no), "0|0".to_owned()),
    ];
    // All that is done, and all that is undone.
    road = kill_while_they_work(&beds, road, 3 * all - no);
    let ended = wait_until("every saga to end", PATIENCE, || {
        let mut told = beds.iter().zip(&expect);
        Ok(told
            .all(|(bed, (did, undid))| count(bed, "did") == *did && count(bed, "undid") == *undid))
    });
    let stand: Vec<_> = beds
        .iter()
        .map(|bed| (count(bed, "did"), count(bed, "undid")))
        .collect();
    assert!(ended.is_ok(), "{stand:?}\n{}", road.log());
    stop.cancel();
    road.terminate();
}
