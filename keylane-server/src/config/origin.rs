//! `origin`: the database whose rows are the truth.

use std::path::PathBuf;
use std::time::Duration;

use super::code::Code;
use super::keys::{Absent, HOUR_MS, Key, SECOND_MS, Takes};
use super::reader::{Block, Read, Reported};
use super::url::{self, PostgresUrl};

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "postgres",
        takes: Takes::Block(POSTGRES),
        absent: Absent::Means("another kind stands here"),
        means: "PostgreSQL 14 or later, read by logical replication.",
    },
    Key {
        name: "sqlite",
        takes: Takes::Block(SQLITE),
        absent: Absent::Means("another kind stands here"),
        means: "A SQLite file, read by triggers.",
    },
];

const POSTGRES: &[Key] = &[
    url::URL,
    url::PASSWORD,
    Key {
        name: "slot",
        takes: Takes::Text("lower-case letters, digits and `_`, at most 63"),
        absent: Absent::Means("`keylane_` and the pipeline's name, `-` as `_`"),
        means: "The replication slot, Keylane's own. It keeps the origin's WAL until Kafka has acknowledged it.",
    },
    Key {
        name: "publication",
        takes: Takes::Text("lower-case letters, digits and `_`, at most 63"),
        absent: Absent::Means("`keylane_` and the pipeline's name, `-` as `_`"),
        means: "The publication, Keylane's own: it holds the tables of the pipeline.",
    },
    Key {
        name: "heartbeat",
        takes: Takes::Duration {
            min_ms: SECOND_MS,
            max_ms: HOUR_MS,
        },
        absent: Absent::Default("10s"),
        means: "How often a message goes through the slot while the tables are idle, so that they do not keep WAL.",
    },
];

pub(super) const SQLITE: &[Key] = &[Key {
    name: "path",
    takes: Takes::Text("a path"),
    absent: Absent::Required,
    means: "The database file.",
}];

/// The database whose rows are the truth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// PostgreSQL, by logical replication.
    Postgres(PostgresOrigin),
    /// SQLite, by triggers.
    Sqlite {
        /// The file, resolved against the configuration's directory.
        path: PathBuf,
    },
}

/// A PostgreSQL origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresOrigin {
    /// The database.
    pub url: PostgresUrl,
    /// The replication slot: lower-case letters, digits and `_`, at most 63 bytes.
    pub slot: String,
    /// The publication: same characters.
    pub publication: String,
    /// Between two messages through the slot while the tables are idle.
    pub heartbeat: Duration,
}

pub(super) fn read(block: &Block<'_>, pipeline: &str) -> Read<Origin> {
    match one_of(block, "postgres", "sqlite")? {
        "sqlite" => {
            let path = block.block("sqlite")?.file_path("path")?;
            Ok(Origin::Sqlite {
                path: path.unwrap_or_default(),
            })
        }
        _ => {
            let postgres = block.block("postgres")?;
            let url = url::read(&postgres);
            let slot = identifier(&postgres, "slot", pipeline);
            let publication = identifier(&postgres, "publication", pipeline);
            let heartbeat = postgres.duration("heartbeat");
            Ok(Origin::Postgres(PostgresOrigin {
                url: url?,
                slot: slot?,
                publication: publication?,
                heartbeat: heartbeat?,
            }))
        }
    }
}

/// Which of two blocks is written; neither or both is an error.
pub(super) fn one_of<'n>(block: &Block<'_>, first: &'n str, second: &'n str) -> Read<&'n str> {
    match (block.entry(first), block.entry(second)) {
        (Some(_), None) => Ok(first),
        (None, Some(_)) => Ok(second),
        (Some(a), Some(b)) => Err(block.report(
            Code::OneOf,
            a.key_span.max(b.key_span),
            format!("{} has both '{first}' and '{second}'", block.path),
            "remove the one that is not used",
        )),
        // The unknown key, reported already, stands for the missing one.
        (None, None) if block.has_unknown_keys() => Err(Reported),
        (None, None) => Err(block.report(
            Code::OneOf,
            block.span,
            format!("{} has neither '{first}' nor '{second}'", block.path),
            &format!(
                "write '{first}:' or '{second}:' under it, indented, with its settings under that"
            ),
        )),
    }
}

fn identifier(block: &Block<'_>, name: &str, pipeline: &str) -> Read<String> {
    const BYTES_MAX: usize = 63;
    let Some(text) = block.text_if_any(name)? else {
        let plain = pipeline.to_ascii_lowercase().replace('-', "_");
        return Ok(format!("keylane_{plain}"));
    };
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if text.value.is_empty() || text.value.len() > BYTES_MAX || !text.value.chars().all(legal) {
        let fault = "is not a name that PostgreSQL takes without quotes";
        return Err(block.bad(Code::BadName, name, &text, fault));
    }
    Ok(text.value)
}
