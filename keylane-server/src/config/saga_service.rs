//! `saga`: where sagas are kept, and how their participants are reached.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use keylane_core::notify::SagasRule;

use super::code::Code;
use super::from_topics::{named_topic, topic_if_any};
use super::keys::{Absent, DAY_MS, HOUR_MS, Key, SECOND_MS, Takes};
use super::lists;
use super::origin;
use super::reader::{Block, Read, Text};
use super::replica::{self, Replica};
use super::saga_tracker::{self, SagaTracker};
use super::secret::Secret;
use super::tree::{Entry, printable_key};

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "store",
        takes: Takes::Block(replica::KEYS),
        absent: Absent::Means("the SQLite file `saga.db` in `state_dir`"),
        means: "Where sagas are kept: `postgres` or `sqlite`. Tables of its own are made.",
    },
    Key {
        name: "definitions",
        takes: Takes::Texts("paths of files, each with one definition"),
        absent: Absent::Means("none"),
        means: "Definitions that are kept in the store when a command begins. What is kept stays, so that what runs keeps its version.",
    },
    Key {
        name: "choreographies",
        takes: Takes::Texts("paths of files, each with one choreography"),
        absent: Absent::Means("none"),
        means: "Sagas that nobody drives and that are followed by their events. All processes that share the sagas name the same.",
    },
    Key {
        name: "tracker",
        takes: Takes::Block(saga_tracker::KEYS),
        absent: Absent::Means("its defaults"),
        means: "How choreographed sagas are followed.",
    },
    Key {
        name: "participants",
        takes: Takes::Each("NAME", PARTICIPANT),
        absent: Absent::Means("definitions say where each participant is"),
        means: "Participants that definitions call by name.",
    },
    Key {
        name: "concurrency",
        takes: CONCURRENCY,
        absent: Absent::Default("32"),
        means: "Commands that a participant is sent over HTTP at a time, at most.",
    },
    Key {
        name: "reply_url",
        takes: Takes::Text(
            "the address of this service as participants reach it, such as `http://sagas:7070`",
        ),
        absent: Absent::Means("participants answer in the response, or are asked again"),
        means: "Where participants that are asked by HTTP may post what they answer later; with `http.auth_token` they send that token.",
    },
    Key {
        name: "reply_topic",
        takes: Takes::Text("a topic of `log.kafka`"),
        absent: Absent::Means("no participant is reached by Kafka"),
        means: "The topic of the answers of participants that read topics; it must be there. All processes that share the sagas name the same.",
    },
    Key {
        name: "starts",
        takes: Takes::Block(STARTS),
        absent: Absent::Means("no saga is begun by an event"),
        means: "Sagas that events of type `saga.start` begin, out of services' own outboxes.",
    },
    Key {
        name: "lease",
        takes: Takes::Duration {
            min_ms: SECOND_MS,
            max_ms: HOUR_MS,
        },
        absent: Absent::Default("3s"),
        means: "How long after a process has died another goes on with its sagas.",
    },
    Key {
        name: "retention",
        takes: Takes::Duration {
            min_ms: HOUR_MS,
            max_ms: 3650 * DAY_MS,
        },
        absent: Absent::Default("30d"),
        means: "How long sagas that ended are kept, with their keys and timelines.",
    },
    Key {
        name: "stuck",
        takes: Takes::Block(STUCK),
        absent: Absent::Means("its defaults"),
        means: "When sagas that need help are told to all channels of `notify`.",
    },
];

const STARTS: &[Key] = &[
    Key {
        name: "topic",
        takes: Takes::Text("a topic"),
        absent: Absent::Required,
        means: "Their topic; it must be there. All processes that share the sagas name the same.",
    },
    Key {
        name: "dead_letter",
        takes: Takes::Text("a topic"),
        absent: Absent::Means("the topic's name and `.dead`"),
        means: "Where events go that begin no saga, with what is wrong with them; it must be there, but in the embedded log, where it is made. `keylane consume redrive` puts them back.",
    },
];

const STUCK: &[Key] = &[
    Key {
        name: "tell",
        takes: Takes::Flag,
        absent: Absent::Default("true"),
        means: "Whether it is looked at.",
    },
    Key {
        name: "sagas",
        takes: Takes::Count {
            min: 1,
            max: 10_000_000,
        },
        absent: Absent::Default("1"),
        means: "From so many stuck sagas on.",
    },
    Key {
        name: "for",
        takes: Takes::Duration {
            min_ms: 0,
            max_ms: 7 * DAY_MS,
        },
        absent: Absent::Default("0s"),
        means: "How long it must last before it is told, and be over before that is told.",
    },
];

const CONCURRENCY: Takes = Takes::Count {
    min: 1,
    max: 10_000,
};

const PARTICIPANT: &[Key] = &[
    Key {
        name: "http",
        takes: Takes::Secret("a URL, which is treated as a secret"),
        absent: Absent::Means("`kafka` stands here"),
        means: "Where its commands are posted.",
    },
    Key {
        name: "kafka",
        takes: Takes::Text("a topic"),
        absent: Absent::Means("`http` stands here"),
        means: "The topic of its commands.",
    },
    Key {
        name: "auth_token",
        takes: Takes::Secret("a token, sent as `Authorization: Bearer …`"),
        absent: Absent::Means("none is sent"),
        means: "With `http`: what it asks for.",
    },
    Key {
        name: "concurrency",
        takes: CONCURRENCY,
        absent: Absent::Means("as under `saga`"),
        means: "Commands that it is sent over HTTP at a time, at most.",
    },
];

/// How sagas are driven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SagaService {
    /// Where they are kept; `None`: in a file of the state folder.
    pub store: Option<Replica>,
    /// Files with definitions, resolved against the configuration's directory.
    pub definitions: Vec<PathBuf>,
    /// Files with choreographies, resolved likewise.
    pub choreographies: Vec<PathBuf>,
    /// How choreographed sagas are followed.
    pub tracker: SagaTracker,
    /// Participants by name.
    pub participants: BTreeMap<String, SagaParticipant>,
    /// Commands at a time to one participant.
    pub concurrency: usize,
    /// This service's address as participants reach it.
    pub reply_url: Option<String>,
    /// The topic of answers.
    pub reply_topic: Option<String>,
    /// Where events that begin sagas come in.
    pub starts: Option<SagaStarts>,
    /// How long a lease holds.
    pub lease: Duration,
    /// How long sagas that ended are kept.
    pub retention: Duration,
    /// When sagas that need help are told.
    pub stuck: Option<SagasRule>,
}

/// Where events that begin sagas come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SagaStarts {
    /// The topic.
    pub topic: String,
    /// The topic of those that begin none.
    pub dead_letter: String,
}

/// A participant that definitions call by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SagaParticipant {
    /// Where it is.
    pub way: SagaWay,
    /// Commands at a time; `None`: as all.
    pub concurrency: Option<usize>,
}

/// How a participant is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SagaWay {
    /// By HTTP.
    Http {
        /// Where to.
        url: Secret,
        /// What it asks for.
        auth_token: Option<Secret>,
    },
    /// By a topic.
    Kafka {
        /// Which.
        topic: String,
    },
}

/// The block; `None` if it is not written.
pub(super) fn read(parent: &Block<'_>) -> Read<Option<SagaService>> {
    let block = parent.block("saga")?;
    if parent.entry("saga").is_none() {
        return Ok(None);
    }
    let store = match block.is_written("store") {
        true => block
            .block("store")
            .and_then(|store| replica::read(&store))
            .map(Some),
        false => Ok(None),
    };
    let paths = |name| {
        let texts: Read<Vec<Text>> = block.texts(name);
        texts.map(|texts| {
            let paths = texts.iter().map(|text| block.reader.resolve(&text.value));
            paths.collect()
        })
    };
    let (definitions, choreographies) = (paths("definitions"), paths("choreographies"));
    let tracker = block
        .block("tracker")
        .and_then(|inner| saga_tracker::read(&inner));
    let participants = block.each("participants").and_then(|entries| {
        let read = entries.iter().map(|entry| participant(&block, entry));
        lists::all(read).map(|all| all.into_iter().collect())
    });
    let concurrency = block.count("concurrency");
    let reply_url = reply_url(&block);
    let reply_topic = topic_if_any(&block, "reply_topic");
    let starts = match block.is_written("starts") {
        true => block
            .block("starts")
            .and_then(|inner| starts(&inner))
            .map(Some),
        false => Ok(None),
    };
    let (lease, retention) = (block.duration("lease"), block.duration("retention"));
    let stuck = block.block("stuck").and_then(|inner| stuck(&inner));
    Ok(Some(SagaService {
        store: store?,
        definitions: definitions?,
        choreographies: choreographies?,
        tracker: tracker?,
        participants: participants?,
        concurrency: concurrency?,
        reply_url: reply_url?,
        reply_topic: reply_topic?,
        starts: starts?,
        lease: lease?,
        retention: retention?,
        stuck: stuck?,
    }))
}

fn stuck(block: &Block<'_>) -> Read<Option<SagasRule>> {
    let (tell, sagas) = (block.flag("tell"), block.count("sagas"));
    let hold = block.duration("for")?;
    let rule = SagasRule {
        sagas: sagas?,
        hold_ms: u64::try_from(hold.as_millis()).unwrap_or(u64::MAX),
    };
    Ok(tell?.then_some(rule))
}

fn reply_url(block: &Block<'_>) -> Read<Option<String>> {
    let Some(text) = block.text_if_any("reply_url")? else {
        return Ok(None);
    };
    match is_http(&text.value) {
        true => Ok(Some(text.value.trim_end_matches('/').to_owned())),
        false => Err(block.bad(
            Code::BadValue,
            "reply_url",
            &text,
            "is no http:// or https:// address",
        )),
    }
}

fn starts(block: &Block<'_>) -> Read<SagaStarts> {
    let (name, dead_letter) = (block.text("topic"), topic_if_any(block, "dead_letter"));
    let name = name.and_then(|text| named_topic(block, "topic", text))?;
    Ok(SagaStarts {
        dead_letter: dead_letter?.unwrap_or_else(|| format!("{name}.dead")),
        topic: name,
    })
}

fn is_http(text: &str) -> bool {
    let parsed = url::Url::parse(text).ok();
    parsed.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

fn participant(block: &Block<'_>, entry: &Entry) -> Read<(String, SagaParticipant)> {
    let shown = printable_key(&entry.key);
    let path = format!("{}.{shown}", block.path_of("participants"));
    let inner = Block::open(
        block.reader,
        PARTICIPANT,
        path,
        Some(&entry.node),
        entry.key_span,
    )?;
    let way = match origin::one_of(&inner, "http", "kafka")? {
        "http" => http(&inner),
        _ => kafka(&inner),
    };
    let concurrency = match inner.is_written("concurrency") {
        true => inner.count("concurrency").map(Some),
        false => Ok(None),
    };
    let read = SagaParticipant {
        way: way?,
        concurrency: concurrency?,
    };
    Ok((entry.key.clone(), read))
}

fn http(block: &Block<'_>) -> Read<SagaWay> {
    let auth_token = block.secret_if_any("auth_token");
    let Some((url, span)) = block.secret_if_any("http")? else {
        return Err(block.missing("http"));
    };
    if !is_http(url.expose()) {
        let message = format!(
            "{}: the value is no URL that can be posted to",
            block.path_of("http")
        );
        let remedy = "it begins with http:// or https:// and names a host";
        return Err(block.report(Code::BadValue, span, message, remedy));
    }
    Ok(SagaWay::Http {
        url,
        auth_token: auth_token?.map(|(secret, _)| secret),
    })
}

fn kafka(block: &Block<'_>) -> Read<SagaWay> {
    let Some(text) = block.text_if_any("kafka")? else {
        return Err(block.missing("kafka"));
    };
    let topic = named_topic(block, "kafka", text)?;
    Ok(SagaWay::Kafka { topic })
}
