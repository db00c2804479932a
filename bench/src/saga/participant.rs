//! The participants of the measured sagas, in a process of their own so that their processor time is theirs alone: over HTTP or Kafka, with verdicts and effects in memory or in PostgreSQL.

use super::cell::PARTICIPANTS;
use crate::report::Result;
use async_trait::async_trait;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::ListenerExt as _;
use keylane::consumer::{Consumer, KeepOrder};
use keylane::kafka::KafkaSettings;
use keylane::participant::{
    Call, CarryOut, PostgresParticipant, PostgresSteps, StepError, respond, serve,
};
use keylane::workers::stats::now_us;
use keylane_core::model::fingerprint;
use keylane_core::saga::wire::CommandMessage;
use keylane_core::saga::{Conclusion, Judgement, Outcome, Ran, Rows, conclude, judge};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};
use tokio_util::sync::CancellationToken;

/// Before the address, once it answers.
pub(crate) const READY: &str = "ready ";
/// Before each line of effects.
pub(crate) const EFFECT: &str = "effect ";
/// The effects of a participant with a database: a row is done (1) or undone (-1).
pub(crate) const EFFECTS: &str =
    "create table effects (saga text not null, step text not null, change int not null)";
/// Commands that are carried out at once.
const AT_ONCE: usize = 256;
const EFFECT_ROW: &str = "insert into effects (saga, step, change) values ($1, $2, $3)";
const SOURCE: &str = "/bench";

/// What to be.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Task {
    /// Commands are read from the participants' topics here, and else come over HTTP
    #[arg(long)]
    pub(crate) bootstrap: Option<String>,
    /// Barrier and effects are here, and else in memory
    #[arg(long)]
    pub(crate) database: Option<String>,
    /// Of a hundred sagas so many are refused by charge.v1
    #[arg(long)]
    pub(crate) refuses: u64,
}

/// The topic of a participant's commands.
pub(crate) fn topic_of(participant: &str) -> String {
    format!("cmd.{participant}")
}

/// Carries out commands until standard input ends; then tells its effects, if it has them in memory.
pub(crate) fn run(task: &Task) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let memory = Arc::new(Memory::new(task.refuses));
    runtime.block_on(async {
        let participant: Arc<dyn CarryOut> = match &task.database {
            Some(url) => Arc::new(in_postgres(url).await?),
            None => memory.clone(),
        };
        let stop = CancellationToken::new();
        let mut running = match &task.bootstrap {
            Some(bootstrap) => by_topics(participant, bootstrap, &stop),
            None => by_http(participant, &stop).await?,
        };
        let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        tokio::select! {
            ended = ended => drop(ended??),
            failed = &mut running => return Err(format!("it ended early: {failed:?}").into()),
        }
        stop.cancel();
        // Whoever reads the topics next goes on behind what was carried out here.
        running.await??;
        memory.tell()
    })
}

type Running = tokio::task::JoinHandle<std::result::Result<(), String>>;

fn by_topics(participant: Arc<dyn CarryOut>, bootstrap: &str, stop: &CancellationToken) -> Running {
    let mut consumer = Consumer::kafka(bootstrap, "participants")
        .order(KeepOrder::Unordered)
        .concurrency(AT_ONCE);
    for participant in PARTICIPANTS {
        consumer = consumer.topic(topic_of(participant));
    }
    let settings = KafkaSettings::new(bootstrap);
    let serving = serve(participant, consumer, settings, stop.clone());
    println!("{READY}{bootstrap}");
    tokio::spawn(async move { serving.await.map_err(|error| error.to_string()) })
}

async fn by_http(participant: Arc<dyn CarryOut>, stop: &CancellationToken) -> Result<Running> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{READY}{}", listener.local_addr()?);
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    let router = Router::new()
        .route("/{service}", post(command))
        .with_state(participant);
    let ended = stop.clone().cancelled_owned();
    let serving = axum::serve(listener, router).with_graceful_shutdown(ended);
    Ok(tokio::spawn(async move {
        serving.await.map_err(|error| error.to_string())
    }))
}

async fn command(
    State(participant): State<Arc<dyn CarryOut>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let pairs = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()));
    let answer = respond(participant.as_ref(), pairs, &body).await;
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, answer.body).into_response();
    for (name, value) in answer.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

async fn in_postgres(url: &str) -> Result<PostgresParticipant> {
    let mut steps = PostgresSteps::default();
    for (action, undo) in [("reserve.v1", "release.v1"), ("charge.v1", "refund.v1")] {
        steps = steps
            .on(action)
            .action(|call, client| Box::pin(put(call, client, 1)))
            .undo(undo, |call, client| Box::pin(put(call, client, -1)));
    }
    let participant = PostgresParticipant::new(url, SOURCE, steps);
    participant.create_table().await?;
    Ok(participant)
}

async fn put(call: &Call, client: &Client, change: i32) -> std::result::Result<Value, StepError> {
    let values = [
        (&call.saga as &(dyn ToSql + Sync), Type::TEXT),
        (&call.step as _, Type::TEXT),
        (&change as _, Type::INT4),
    ];
    client.query_typed(EFFECT_ROW, &values).await?;
    Ok(json!({"by": SOURCE}))
}

/// The barrier's rules with their rows in memory, and how often each step had its effect and lost it.
struct Memory {
    refuses: u64,
    steps: Mutex<HashMap<(String, String), Step>>,
}

#[derive(Default)]
struct Step {
    rows: Rows,
    done: u64,
    undone: u64,
}

impl Memory {
    fn new(refuses: u64) -> Self {
        Memory {
            refuses,
            steps: Mutex::default(),
        }
    }

    fn run(&self, command: &CommandMessage) -> Ran {
        let may_refuse = command.type_name == "charge.v1";
        match may_refuse && fingerprint(&command.saga) % 100 < self.refuses {
            true => Ran::Rejected("no cover".to_owned()),
            false => Ran::Ok(json!({"by": SOURCE})),
        }
    }

    fn tell(&self) -> Result<()> {
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        let steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        for ((saga, step), told) in &*steps {
            writeln!(out, "{EFFECT}{saga}|{step}|{}|{}", told.done, told.undone)?;
        }
        Ok(out.flush()?)
    }
}

#[async_trait]
impl CarryOut for Memory {
    async fn carry_out(&self, command: &CommandMessage) -> Outcome {
        if command.type_name == "wait.v1" {
            return Outcome::Working;
        }
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (command.saga.clone(), command.step.clone());
        let step = steps.entry(key).or_default();
        let asked = command.asked();
        let conclusion = match judge(asked, &step.rows, now_us()) {
            Judgement::Expired => Conclusion::RollBack(Outcome::Unclear("expired".to_owned())),
            Judgement::Answer(conclusion) => conclusion,
            Judgement::RunAction => {
                let ran = self.run(command);
                step.done += u64::from(matches!(ran, Ran::Ok(_)));
                conclude(asked, &step.rows, ran)
            }
            Judgement::RunUndo(_) => {
                step.undone += 1;
                conclude(asked, &step.rows, Ran::Ok(Value::Null))
            }
        };
        let (Conclusion::Commit(rows, outcome) | Conclusion::CommitWithoutEffect(rows, outcome)) =
            conclusion
        else {
            return Outcome::Unclear("it was not carried out".to_owned());
        };
        step.rows = rows;
        outcome
    }

    fn source(&self) -> &str {
        SOURCE
    }
}
