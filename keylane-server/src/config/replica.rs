//! `replica`: the database kept equal to the origin.

use std::path::PathBuf;

use super::keys::{Absent, Key, Takes};
use super::origin;
use super::reader::{Block, Read};
use super::url::{self, PostgresUrl};

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "postgres",
        takes: Takes::Block(POSTGRES),
        absent: Absent::Means("another kind stands here"),
        means: "PostgreSQL.",
    },
    Key {
        name: "sqlite",
        takes: Takes::Block(origin::SQLITE),
        absent: Absent::Means("another kind stands here"),
        means: "A SQLite file.",
    },
];

const POSTGRES: &[Key] = &[url::URL, url::PASSWORD];

/// The database kept equal to the origin. Keylane's progress stands in it too, next to the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replica {
    /// PostgreSQL.
    Postgres {
        /// The database.
        url: PostgresUrl,
    },
    /// SQLite.
    Sqlite {
        /// The file, resolved against the configuration's directory.
        path: PathBuf,
    },
}

pub(super) fn read(block: &Block<'_>) -> Read<Replica> {
    match origin::one_of(block, "postgres", "sqlite")? {
        "sqlite" => {
            let path = block.block("sqlite")?.file_path("path")?;
            Ok(Replica::Sqlite {
                path: path.unwrap_or_default(),
            })
        }
        _ => {
            let url = url::read(&block.block("postgres")?)?;
            Ok(Replica::Postgres { url })
        }
    }
}
