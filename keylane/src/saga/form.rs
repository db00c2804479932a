//! Rows and commands as stores keep them where they do not have columns of their own: JSON.

use keylane_core::saga::{
    Command, Entry, Op, Outcome, ParkedAnswer, Participant, Phase, Reply, Saga, StepKind, StepRow,
    StepStatus, Unsent,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Lines of a timeline that are shown of its beginning.
pub(crate) const TIMELINE_FIRST: usize = 200;
/// And of its end.
pub(crate) const TIMELINE_LAST: usize = 800;

/// What is stored means nothing to this version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable(pub(crate) String);

fn unreadable(what: impl std::fmt::Display) -> Unreadable {
    Unreadable(what.to_string())
}

impl From<serde_json::Error> for Unreadable {
    fn from(error: serde_json::Error) -> Self {
        unreadable(error)
    }
}

/// A text as every database takes it: without the one character that PostgreSQL does not.
pub(crate) fn plain(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// A timeline's texts as every database takes them.
pub(crate) fn reason_of(entry: &Entry) -> Option<String> {
    entry.reason.as_deref().map(plain)
}

#[derive(Serialize, Deserialize)]
struct CommandForm {
    definition: String,
    version: u32,
    hash: u64,
    op: String,
    attempt: u32,
    kind: String,
    way: String,
    to: String,
    #[serde(rename = "type")]
    type_name: String,
    input: Value,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "some")]
    reply: Option<Value>,
    expires_us: i64,
}

/// `null` that was answered is not the same as no answer.
mod some {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use serde_json::Value;

    pub(super) fn serialize<S: Serializer>(
        value: &Option<Value>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        value.serialize(to)
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Option<Value>, D::Error> {
        Value::deserialize(from).map(Some)
    }
}

/// A command as the outbox keeps it, but for its saga and step.
pub(crate) fn command_text(saga: &Saga, command: &Command) -> String {
    let form = CommandForm {
        definition: saga.definition.clone(),
        version: saga.version,
        hash: saga.hash,
        op: command.op.code().to_owned(),
        attempt: command.attempt,
        kind: command.kind.code().to_owned(),
        way: way(&command.participant).to_owned(),
        to: command.participant.name().to_owned(),
        type_name: command.type_name.clone(),
        input: command.input.clone(),
        reply: command.reply.clone(),
        expires_us: command.expires_us,
    };
    serde_json::to_string(&form).expect("a command's names are texts")
}

/// A command of the outbox.
pub(crate) fn unsent(
    number: i64,
    saga: String,
    step: String,
    text: &str,
) -> Result<Unsent, Unreadable> {
    let form: CommandForm = serde_json::from_str(text)?;
    Ok(Unsent {
        number,
        definition: form.definition,
        version: form.version,
        hash: form.hash,
        command: Command {
            saga,
            step,
            op: Op::named(&form.op).ok_or_else(|| unreadable(&form.op))?,
            attempt: form.attempt,
            kind: StepKind::named(&form.kind).ok_or_else(|| unreadable(&form.kind))?,
            participant: match form.way.as_str() {
                "kafka" => Participant::Kafka { topic: form.to },
                "http" => Participant::Http { url: form.to },
                "name" => Participant::Named(form.to),
                other => return Err(unreadable(other)),
            },
            type_name: form.type_name,
            input: form.input,
            reply: form.reply,
            expires_us: form.expires_us,
        },
    })
}

/// By which way a participant is reached.
fn way(participant: &Participant) -> &'static str {
    match participant {
        Participant::Kafka { .. } => "kafka",
        Participant::Http { .. } => "http",
        Participant::Named(_) => "name",
    }
}

#[derive(Serialize, Deserialize)]
struct StepForm {
    status: String,
    attempts: u32,
    tries: u32,
    since_us: Option<i64>,
    next_us: Option<i64>,
    stuck: bool,
    by_hand: bool,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "some")]
    reply: Option<Value>,
    error: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct SagaForm {
    hash: u64,
    phase: String,
    revision: u64,
    data: Value,
    reason: Option<String>,
    deadline_us: Option<i64>,
    steps: Vec<StepForm>,
}

/// What stands in columns of its own of a saga that ended.
pub(crate) struct Ended {
    pub(crate) id: String,
    pub(crate) key: Option<String>,
    pub(crate) definition: String,
    pub(crate) version: u32,
    pub(crate) started_us: i64,
    pub(crate) updated_us: i64,
    pub(crate) ended_us: i64,
}

/// A saga's rows as those that ended are kept.
pub(crate) fn saga_text(saga: &Saga) -> String {
    let step = |row: &StepRow| StepForm {
        status: row.status.code().to_owned(),
        attempts: row.attempts,
        tries: row.tries,
        since_us: row.since_us,
        next_us: row.next_us,
        stuck: row.stuck,
        by_hand: row.by_hand,
        reply: row.reply.clone(),
        error: row.error.clone(),
    };
    let form = SagaForm {
        hash: saga.hash,
        phase: saga.phase.code().to_owned(),
        revision: saga.revision,
        data: saga.data.clone(),
        reason: saga.reason.clone(),
        deadline_us: saga.deadline_us,
        steps: saga.steps.iter().map(step).collect(),
    };
    serde_json::to_string(&form).expect("a saga's names are texts")
}

/// A saga that ended.
pub(crate) fn ended_saga(columns: Ended, text: &str) -> Result<Saga, Unreadable> {
    let form: SagaForm = serde_json::from_str(text)?;
    let step = |form: StepForm| -> Result<StepRow, Unreadable> {
        Ok(StepRow {
            status: status(&form.status)?,
            attempts: form.attempts,
            tries: form.tries,
            since_us: form.since_us,
            next_us: form.next_us,
            stuck: form.stuck,
            by_hand: form.by_hand,
            reply: form.reply,
            error: form.error,
        })
    };
    Ok(Saga {
        id: columns.id,
        key: columns.key,
        definition: columns.definition,
        version: columns.version,
        hash: form.hash,
        phase: phase(&form.phase)?,
        revision: form.revision,
        data: form.data,
        reason: form.reason,
        started_us: columns.started_us,
        updated_us: columns.updated_us,
        ended_us: Some(columns.ended_us),
        deadline_us: form.deadline_us,
        steps: form
            .steps
            .into_iter()
            .map(step)
            .collect::<Result<_, Unreadable>>()?,
    })
}

pub(crate) fn phase(code: &str) -> Result<Phase, Unreadable> {
    Phase::named(code).ok_or_else(|| unreadable(format!("phase {code}")))
}

pub(crate) fn status(code: &str) -> Result<StepStatus, Unreadable> {
    StepStatus::named(code).ok_or_else(|| unreadable(format!("status {code}")))
}

/// A value that a column holds as JSON.
pub(crate) fn value(text: &str) -> Result<Value, Unreadable> {
    Ok(serde_json::from_str(text)?)
}

/// What an answer carries, as a parked one is kept beside its outcome's name.
pub(crate) fn body_text(outcome: &Outcome) -> String {
    let body = match outcome {
        Outcome::Ok(body) | Outcome::Done(body) => body.clone(),
        Outcome::Rejected(why) | Outcome::Unclear(why) => Value::String(why.clone()),
        Outcome::Fenced | Outcome::Noop | Outcome::Working => Value::Null,
    };
    body.to_string()
}

/// A parked answer out of its columns.
pub(crate) fn parked(
    saga: String,
    step: String,
    op: &str,
    outcome: &str,
    body: &str,
    at_us: i64,
) -> Result<ParkedAnswer, Unreadable> {
    Ok(ParkedAnswer {
        saga,
        reply: Reply {
            step,
            op: Op::named(op).ok_or_else(|| unreadable(format!("operation {op}")))?,
            outcome: Outcome::named(outcome, value(body)?),
        },
        at_us,
    })
}
