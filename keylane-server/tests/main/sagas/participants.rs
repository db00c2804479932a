//! Participants over HTTP: services that keep the barrier's rows and their effects in one SQLite file, fail as they are told to, and remember every command that ever came.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use keylane::consumer::{Consumer, Record};
use keylane::kafka::{KafkaLog, KafkaSettings};
use keylane_core::model::{OrderHash, TopicPartition};
use keylane_core::publish::{Log as _, LogError, NewRecord};
use keylane_core::saga::wire::{AnswerMessage, Attributes, CommandMessage, WireError, status_of};
use keylane_core::saga::{
    Conclusion, Judgement, Outcome, Ran, Rows, Undone, Verdict, conclude, judge,
};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

const TABLES: &str = "
PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;
CREATE TABLE barrier (saga TEXT, step TEXT, verdict TEXT, reply TEXT, undone TEXT, undo_reply TEXT, PRIMARY KEY (saga, step));
CREATE TABLE effects (saga TEXT, step TEXT, change INTEGER);";

/// How a service behaves, by chances of a hundred.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manners {
    /// Answers 503 and does nothing.
    pub refuses: u64,
    /// Does it, and answers 500.
    pub loses_answers: u64,
    /// Says no, of actions that may be refused; always the same of one saga and step.
    pub says_no: u64,
    /// Waits before it begins.
    pub waits: Option<Duration>,
    /// Says that it works on it, and answers later at the reply address.
    pub answers_later: bool,
    /// Takes nothing: the connection is closed without an answer.
    pub is_down: bool,
}

/// A command as it came.
#[derive(Clone)]
struct Came {
    service: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Bytes,
}

struct Shop {
    database: Mutex<Connection>,
    manners: Mutex<HashMap<String, Manners>>,
    came: Mutex<Vec<Came>>,
    chance: AtomicU64,
    client: reqwest::Client,
}

/// The services and where they are.
pub struct Participants {
    pub address: SocketAddr,
    shop: Arc<Shop>,
    runtime: tokio::runtime::Runtime,
    _folder: tempfile::TempDir,
}

fn open<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Participants {
    pub fn start(seed: u64) -> Participants {
        let folder = tempfile::tempdir().expect("a folder");
        let database = Connection::open(folder.path().join("shop.db")).expect("a file");
        database.execute_batch(TABLES).expect("tables");
        let shop = Arc::new(Shop {
            database: Mutex::new(database),
            manners: Mutex::default(),
            came: Mutex::default(),
            chance: AtomicU64::new(seed),
            client: keylane::http_client(Duration::from_secs(5), 8).expect("a client"),
        });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let router = Router::new()
            .route("/{service}", post(command))
            .with_state(shop.clone());
        runtime.spawn(async move { axum::serve(listener, router).await });
        Participants {
            address,
            shop,
            runtime,
            _folder: folder,
        }
    }

    /// From now on a service behaves like this.
    pub fn behaves(&self, service: &str, manners: Manners) {
        open(&self.shop.manners).insert(service.to_owned(), manners);
    }

    /// Commands that came so far.
    pub fn commands(&self) -> usize {
        open(&self.shop.came).len()
    }

    /// Sagas that commands were about, of all that came behind so many.
    pub fn asked_since(&self, commands: usize) -> usize {
        let came = open(&self.shop.came);
        let headers = came.iter().skip(commands).flat_map(|came| &came.headers);
        let sagas = headers.filter(|(name, _)| name == "ce-correlationid");
        sagas.map(|(_, saga)| saga).collect::<HashSet<_>>().len()
    }

    /// All effects: by saga and step how often it was done and undone.
    pub fn effects(&self) -> HashMap<(String, String), (i64, i64)> {
        let database = open(&self.shop.database);
        let sql =
            "SELECT saga, step, sum(change > 0), sum(change < 0) FROM effects GROUP BY saga, step";
        let mut asked = database.prepare(sql).expect("a statement");
        let rows = asked.query_map([], |row| {
            Ok(((row.get(0)?, row.get(1)?), (row.get(2)?, row.get(3)?)))
        });
        rows.expect("rows").map(|row| row.expect("a row")).collect()
    }

    /// A service that reads its commands from a topic and answers on the one that they name, until the token is cancelled.
    pub fn reads(&self, bootstrap: &str, topic: &str, service: &str) -> CancellationToken {
        let stop = CancellationToken::new();
        let (shop, service, ended) = (self.shop.clone(), service.to_owned(), stop.clone());
        let log = KafkaLog::open(KafkaSettings::new(bootstrap)).expect("Kafka");
        let consumer = Consumer::kafka(bootstrap, format!("group of {topic}")).topic(topic);
        self.runtime.spawn(async move {
            let read = consumer.run(ended, async |record: Record| {
                let message = of_record(&record).expect("a command");
                let outcome = shop.carry_out(&service, &message);
                let manners = open(&shop.manners)
                    .get(&service)
                    .copied()
                    .unwrap_or_default();
                match shop.chance(manners.loses_answers) {
                    true => Ok(()),
                    // Where the broker is away the record comes again.
                    false => answer_to(&log, &message, outcome, &service).await,
                }
            });
            read.await.expect("it reads to its end");
        });
        stop
    }

    /// Every command that ever came comes once more, in another order; nobody fails.
    pub fn replay_all(&self) {
        open(&self.shop.manners).clear();
        let mut all = open(&self.shop.came).clone();
        all.reverse();
        for came in all {
            let headers = came
                .headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_slice()));
            let attributes = Attributes::from_http(headers).expect("as it came");
            let message = CommandMessage::read(&attributes, &came.body).expect("as it came");
            let _ = self.shop.carry_out(&came.service, &message);
        }
    }
}

fn of_record(record: &Record) -> Result<CommandMessage, WireError> {
    let headers = record
        .headers
        .iter()
        .map(|(name, value)| (&**name, &**value));
    let attributes = Attributes::from_kafka(headers)?;
    CommandMessage::read(&attributes, record.value.as_deref().unwrap_or_default())
}

async fn answer_to(
    log: &KafkaLog,
    message: &CommandMessage,
    outcome: Outcome,
    service: &str,
) -> Result<(), LogError> {
    let topic = message.reply_to.as_deref().expect("a reply topic");
    let info = log.describe_topic(topic).await?.expect("there");
    let answer = AnswerMessage::to(message, outcome, service);
    let key = answer.saga.clone();
    let attributes = answer.attributes();
    let headers = attributes
        .to_kafka()
        .map(|(name, value)| (name.into(), value.to_owned().into()));
    let record = NewRecord {
        partition: TopicPartition::new(
            topic,
            OrderHash::of(key.as_bytes()).partition(info.partitions),
        ),
        key: Some(key.into()),
        value: Some(answer.body().to_string().into()),
        headers: headers.collect(),
        keylane: String::new(),
        timestamp_ms: keylane::workers::stats::now_us() / 1000,
    };
    log.append(vec![record]).await?.await.map(drop)
}

async fn command(
    Shared(shop): Shared<Arc<Shop>>,
    Path(service): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let manners = open(&shop.manners)
        .get(&service)
        .copied()
        .unwrap_or_default();
    let pairs = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()));
    let read = Attributes::from_http(pairs).and_then(|it| CommandMessage::read(&it, &body));
    let message = match read {
        Ok(message) => message,
        Err(why) => return (StatusCode::BAD_REQUEST, why.to_string()).into_response(),
    };
    let is_named = headers
        .get("idempotency-key")
        .is_some_and(|it| it.as_bytes() == message.id().as_bytes());
    if !is_named {
        return (
            StatusCode::BAD_REQUEST,
            "Idempotency-Key is not the command's id",
        )
            .into_response();
    }
    let headers = headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()));
    let came = Came {
        service: service.clone(),
        headers: headers.collect(),
        body,
    };
    open(&shop.came).push(came);
    if let Some(pause) = manners.waits {
        tokio::time::sleep(pause).await;
    }
    if manners.is_down || shop.chance(manners.refuses) {
        return (StatusCode::SERVICE_UNAVAILABLE, "down").into_response();
    }
    if manners.answers_later {
        tokio::spawn(later(shop, service, message));
        return StatusCode::ACCEPTED.into_response();
    }
    let outcome = shop.carry_out(&service, &message);
    if shop.chance(manners.loses_answers) {
        return (StatusCode::INTERNAL_SERVER_ERROR, "lost").into_response();
    }
    let status = StatusCode::from_u16(status_of(message.op, &outcome)).expect("a status");
    let answer = AnswerMessage::to(&message, outcome, &service);
    let headers: Vec<(String, String)> = answer.attributes().to_http().collect();
    let mut response = (status, answer.body().to_string()).into_response();
    for (name, value) in headers {
        let name = axum::http::HeaderName::try_from(name).expect("a name");
        response
            .headers_mut()
            .insert(name, value.try_into().expect("a value"));
    }
    response
}

/// Carries a command out and posts the answer where the command says.
async fn later(shop: Arc<Shop>, service: String, message: CommandMessage) {
    let outcome = shop.carry_out(&service, &message);
    let answer = AnswerMessage::to(&message, outcome, &service);
    let url = message.reply_to.as_deref().expect("a reply address");
    let mut posted = shop.client.post(url).body(answer.body().to_string());
    for (name, value) in answer.attributes().to_http() {
        posted = posted.header(name, value);
    }
    let status = posted
        .send()
        .await
        .map(|response| response.status().as_u16());
    assert_eq!(status.ok(), Some(202));
}

impl Shop {
    fn chance(&self, of_hundred: u64) -> bool {
        let state = self
            .chance
            .fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let word = (state ^ (state >> 31)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word >> 40) % 100 < of_hundred
    }

    /// The real barrier around an effect, in one transaction.
    fn carry_out(&self, service: &str, message: &CommandMessage) -> Outcome {
        let manners = open(&self.manners)
            .get(service)
            .copied()
            .unwrap_or_default();
        let mut database = open(&self.database);
        let transaction = database.transaction().expect("a transaction");
        let before = rows(&transaction, message);
        let now_us = keylane::workers::stats::now_us();
        let asked = message.asked();
        let (conclusion, change) = match judge(asked, &before, now_us) {
            Judgement::Expired => return Outcome::Unclear("expired".into()),
            Judgement::Answer(conclusion) => (conclusion, 0),
            Judgement::RunAction => {
                let hash =
                    keylane_core::model::fingerprint(&format!("{}{}", message.saga, message.step));
                let ran = match hash % 100 < manners.says_no {
                    true => Ran::Rejected("sold out".into()),
                    false => Ran::Ok(json!({"by": service})),
                };
                (conclude(asked, &before, ran), 1)
            }
            Judgement::RunUndo(reply) => {
                assert_eq!(
                    reply,
                    json!({"by": service}),
                    "the undo is given what the action answered"
                );
                (conclude(asked, &before, Ran::Ok(Value::Null)), -1)
            }
        };
        let (rows, outcome, has_effect) = match conclusion {
            Conclusion::Commit(rows, outcome) => (rows, outcome, true),
            Conclusion::CommitWithoutEffect(rows, outcome) => (rows, outcome, false),
            Conclusion::RollBack(outcome) => return outcome,
        };
        if has_effect && change != 0 {
            let sql = "INSERT INTO effects VALUES (?1, ?2, ?3)";
            let effect = transaction.execute(sql, params![message.saga, message.step, change]);
            effect.expect("an effect");
        }
        keep(&transaction, message, &rows);
        transaction.commit().expect("committed");
        outcome
    }
}

fn rows(database: &Connection, message: &CommandMessage) -> Rows {
    let sql =
        "SELECT verdict, reply, undone, undo_reply FROM barrier WHERE saga = ?1 AND step = ?2";
    let found = database.query_row(sql, params![message.saga, message.step], |row| {
        let text = |column: usize| row.get::<_, Option<String>>(column);
        Ok((text(0)?, text(1)?, text(2)?, text(3)?))
    });
    let Some((verdict, reply, undone, undo_reply)) = found.optional().expect("read") else {
        return Rows::default();
    };
    let value = |text: Option<String>| {
        let text = text.unwrap_or_else(|| "null".into());
        serde_json::from_str(&text).expect("JSON")
    };
    Rows {
        action: verdict.map(|code| (Verdict::named(&code).expect("a verdict"), value(reply))),
        undo: undone.map(|code| (Undone::named(&code).expect("an undo"), value(undo_reply))),
    }
}

fn keep(database: &Connection, message: &CommandMessage, rows: &Rows) {
    let (verdict, reply) = rows
        .action
        .as_ref()
        .map(|(it, value)| (it.code(), value.to_string()))
        .unzip();
    let (undone, undo_reply) = rows
        .undo
        .as_ref()
        .map(|(it, value)| (it.code(), value.to_string()))
        .unzip();
    let sql = "INSERT OR REPLACE INTO barrier VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let kept = database.execute(
        sql,
        params![
            message.saga,
            message.step,
            verdict,
            reply,
            undone,
            undo_reply
        ],
    );
    kept.expect("kept");
}
