//! A row that differs, and what was done about it.

use keylane_core::model::Row;
use keylane_core::reconcile::Key;

/// What was done about a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repair {
    /// Nothing.
    None,
    /// It was written as the origin has it, and read back.
    Repaired,
    /// It was equal when it was to be written.
    NotNeeded,
    /// It could not be written, in words.
    Failed(String),
    /// It was written, and put back as it was.
    Undone,
}

impl Repair {
    /// The word that scripts see; empty for none.
    pub fn word(&self) -> &'static str {
        match self {
            Repair::None => "",
            Repair::Repaired => "repaired",
            Repair::NotNeeded => "not_needed",
            Repair::Failed(_) => "failed",
            Repair::Undone => "undone",
        }
    }

    pub(super) fn read(word: &str, why: String) -> Repair {
        match word {
            "repaired" => Repair::Repaired,
            "not_needed" => Repair::NotNeeded,
            "failed" => Repair::Failed(why),
            "undone" => Repair::Undone,
            _ => Repair::None,
        }
    }
}

/// A row as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    /// Its number in the journal.
    pub number: i64,
    /// Its table.
    pub table: String,
    /// Its key.
    pub key: Key,
    /// `missing`, `extra` or `different`.
    pub kind: String,
    /// The columns that differ.
    pub columns: Vec<String>,
    /// The origin's row.
    pub origin: Option<Row>,
    /// The replica's.
    pub replica: Option<Row>,
    /// When it was first seen, microseconds since 1970.
    pub first_seen_us: i64,
    /// When it was proved.
    pub proved_us: i64,
    /// How, in words.
    pub proof: String,
    /// What was done about it.
    pub repair: Repair,
    /// The replica's row before it was repaired.
    pub before_image: Option<Row>,
    /// The row that was written; `None`: it was deleted.
    pub after_image: Option<Row>,
}
