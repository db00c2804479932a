//! One parked key: its JSON, its line, its details.

use keylane_core::apply::ParkedSummary;
use serde::Serialize;

use crate::status::rfc3339;

/// A parked key. Its later changes stand behind it, in order, and none is lost.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ParkedView {
    /// Its number, unique within its pipeline.
    pub id: i64,
    /// The pipeline.
    pub pipeline: String,
    /// The table.
    pub table: String,
    /// The row's key.
    pub key: String,
    /// The topic in which its first change stands.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The offset.
    pub offset: u64,
    /// Since when, RFC 3339.
    pub since: String,
    /// How often its first change was tried.
    pub attempts: u32,
    /// The first change's error code.
    pub error_code: String,
    /// The first change's error.
    pub error: String,
    /// How many later changes stand behind the first.
    pub behind: u64,
    /// Whether its redrive was asked for and has not happened yet.
    pub redriving: bool,
}

impl From<ParkedSummary> for ParkedView {
    fn from(parked: ParkedSummary) -> Self {
        ParkedView {
            id: parked.id,
            pipeline: parked.pipeline,
            table: parked.table,
            key: parked.key,
            topic: parked.partition.topic.to_string(),
            partition: parked.partition.partition,
            offset: parked.offset.0,
            since: rfc3339(parked.since_us),
            attempts: parked.attempts,
            error_code: parked.code,
            error: parked.error,
            behind: parked.behind,
            redriving: parked.redriving,
        }
    }
}

/// A line for each.
pub fn table(parked: &[ParkedView]) -> String {
    if parked.is_empty() {
        return "nothing is parked\n".to_owned();
    }
    let mut text = String::new();
    for key in parked {
        let redriving = if key.redriving {
            " (redrive asked for)"
        } else {
            ""
        };
        text.push_str(&format!(
            "{id:>6}  {pipeline}  {table} {key}  since {since}  {behind} behind  {code}: {error}{redriving}\n",
            id = key.id,
            pipeline = key.pipeline,
            table = key.table,
            key = key.key,
            since = key.since,
            behind = key.behind,
            code = key.error_code,
            error = first_line(&key.error),
        ));
    }
    text
}

/// Everything about one.
pub fn details(key: &ParkedView) -> String {
    let state = if key.redriving {
        "a redrive was asked for; it happens when an applier runs"
    } else {
        "parked"
    };
    format!(
        "id        {}\npipeline  {}\ntable     {}\nkey       {}\nplace     {}/{} offset {}\nsince     {}\nattempts  {}\nbehind    {}\nstate     {state}\nerror     {}: {}\n\n\
         Mend the cause, then: keylane parked redrive {}\nOr drop the changes:   keylane parked discard {}\n",
        key.id,
        key.pipeline,
        key.table,
        key.key,
        key.topic,
        key.partition,
        key.offset,
        key.since,
        key.attempts,
        key.behind,
        key.error_code,
        key.error,
        key.id,
        key.id,
    )
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
