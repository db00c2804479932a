//! Three services of choreographed sagas, each with its steps, its barrier and its outbox in a database of its own, that hear each other over Kafka by one capturer.

use std::sync::Arc;
use std::time::Duration;

use keylane::consumer::Consumer;
use keylane::participant::{PostgresChoreography, PostgresHandler, Reaction, StepError, hear};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::bed::{configure, make_topic, pipeline};
use crate::bed::{Bed, postgres};
use crate::running::Running;

const EFFECTS: &str = "create table effects (saga text not null, what text not null)";
const STEPS: [(&str, &str); 3] = [
    ("stock", "order.placed"),
    ("payment", "stock.done"),
    ("shipping", "payment.done"),
];

/// Stock, then payment, then shipping; payment says no to every tenth saga, and never answers to one that is held.
pub(super) struct Services {
    pub beds: [Bed; 3],
    topic: &'static str,
    runtime: tokio::runtime::Runtime,
    stop: CancellationToken,
}

fn action(step: &'static str) -> PostgresHandler {
    Arc::new(move |call, tx| {
        Box::pin(async move {
            tx.execute("INSERT INTO effects VALUES ($1, 'did')", &[&call.saga])
                .await?;
            match call.saga.as_str() {
                saga if step == "payment" && saga.ends_with('0') => {
                    Err(StepError::rejected("no money"))
                }
                saga if step == "payment" && saga.starts_with("held") => {
                    Err(StepError::failed("the bank is away"))
                }
                _ => Ok(json!({"by": call.step})),
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

/// The service of a step.
fn service(url: String, topic: &str, (step, on): (&'static str, &str)) -> PostgresChoreography {
    let reaction = Reaction::of(step, topic)
        .on(on)
        .action(action(step))
        .undo(undo());
    PostgresChoreography::new(url, format!("/{step}"), vec![reaction])
}

/// One of them, by its place, hears the topics and reacts until told to stop.
pub(super) async fn serve(
    number: usize,
    (url, kafka): (String, &str),
    (topic, others): (&str, &[&str]),
    stop: CancellationToken,
) {
    let step = *STEPS.get(number).expect("there are three");
    let consumer = Consumer::kafka(kafka, format!("{topic}-{}", step.0))
        .session_timeout(Duration::from_secs(6));
    let consumer = others.iter().fold(consumer, |it, topic| it.topic(*topic));
    let consumer = consumer.topic(topic);
    let service = Arc::new(service(url, topic, step));
    hear(service, consumer, stop).await.expect("it hears");
}

impl Services {
    /// Services whose databases have these names. Their events go into `topic`, and they hear `others` too.
    pub fn start(
        names: [&'static str; 3],
        topic: &'static str,
        others: &'static [&'static str],
    ) -> Services {
        let services = Services::ready(names.map(Bed::bare), topic, others);
        for (number, bed) in services.beds.iter().enumerate() {
            let (url, kafka, stop) = (bed.origin_url(), bed.kafka.clone(), services.stop.clone());
            let serving = async move { serve(number, (url, &kafka), (topic, others), stop).await };
            services.runtime.spawn(serving);
        }
        services
    }

    /// All that services on these beds need; none runs.
    pub fn ready(beds: [Bed; 3], topic: &'static str, others: &[&str]) -> Services {
        let services = Services {
            beds,
            topic,
            runtime: tokio::runtime::Runtime::new().expect("threads"),
            stop: CancellationToken::new(),
        };
        let pipelines: Vec<String> = services
            .beds
            .iter()
            .map(|bed| pipeline(bed.name, &postgres(&bed.origin_url()), topic))
            .collect();
        configure(&services.beds[0], &pipelines);
        // The topics first: a consumer of one that is not there waits.
        for topic in others.iter().chain([&topic]) {
            services
                .runtime
                .block_on(make_topic(&services.beds[0].kafka, topic));
        }
        for (bed, step) in services.beds.iter().zip(STEPS) {
            bed.origin_sql(EFFECTS);
            let service = service(bed.origin_url(), topic, step);
            let made = services.runtime.block_on(service.create_tables());
            made.expect("tables");
        }
        services
    }

    /// Starts the capturer of all three, and waits until it streams.
    pub fn capture(&self) -> Running {
        let road = self.beds[0].start(&["--only", "capture"]);
        for bed in &self.beds {
            self.beds[0].wait(&road, "every capture to stream", || {
                let all = self.beds[0].json(&["status", "--format", "json", bed.name], 0);
                all["pipelines"][0]["state"] == "caught_up"
            });
        }
        road
    }

    /// Begins sagas: an SQL query says which.
    pub fn place(&self, sagas: &str) {
        self.beds[0].origin_sql(&format!(
            "insert into keylane_outbox (topic, partition_key, type, subject, headers, payload)
             select '{}', s, 'order.placed', 'order ' || s, jsonb_build_object('ce_correlationid', s), '\\x7b7d' from ({sagas}) as sagas(s)",
            self.topic
        ));
    }

    /// Effects, and sagas that have one, of each service; of those sagas that SQL says.
    pub fn effects(&self, what: &str, sagas: &str) -> Vec<String> {
        let sql = format!(
            "select count(*), count(distinct saga) from effects where what = '{what}' and saga {sagas}"
        );
        self.beds.iter().map(|bed| bed.origin_sql(&sql)).collect()
    }

    /// How many effects there are by now.
    pub fn all_effects(&self) -> usize {
        let count = |bed: &Bed| bed.origin_sql("select count(*) from effects");
        let counts = self.beds.iter().map(count);
        counts.filter_map(|it| it.parse::<usize>().ok()).sum()
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
