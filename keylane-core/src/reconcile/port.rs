//! A side of a comparison: what a database must be able to tell, and how.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use bytes::Bytes;

use crate::model::{Row, TableName, Value};

use super::encoded::EncodedRow;
use super::mend::Mend;
use super::plan::{SideTable, TablePlan};

/// The values of a row's key, in its columns' order.
pub type Key = Vec<Value>;

/// Rows whose key lies behind one and not behind another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// Behind this one; `None`: from the first.
    pub after: Option<Key>,
    /// Up to this one and with it; `None`: to the last.
    pub up_to: Option<Key>,
}

/// Rows of a range, in the key's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// As the plan has them told.
    pub rows: Vec<EncodedRow>,
    /// Whether there may be more rows in the range behind the last of these.
    pub cut: bool,
}

/// The rows of a range, added up: equal rows have equal sums, whatever order they are in; others do not, but for a chance of 2^-60 for each sum.
///
/// Each row stands for two numbers of 60 bits, the halves of a digest over its cells with their lengths before them; the same change of several rows does not cancel, as it would in an exclusive or.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checksum {
    /// How many there are.
    pub rows: u64,
    /// The sums of their numbers.
    pub sums: [i128; 2],
}

/// What a side says instead of an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SideError {
    /// What to do about it.
    pub kind: SideErrorKind,
    /// What happened and where, without a row's values.
    pub message: String,
}

/// What an error of a side asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SideErrorKind {
    /// Not there now; trying again may help.
    Unreachable,
    /// Somebody else is at work on the table; trying again helps.
    Busy,
    /// Rights are missing.
    Denied,
    /// The table is not there, or not as it was planned with.
    Table,
    /// Something else; the message says what.
    Other,
}

/// A database, read by one caller.
///
/// *Reads*: each answer is of one moment, and of none before the call; two calls see two moments. *Locks*: none that a writer would wait for. *Order*: rows of a range come in the order of the key, which
/// is the same on both sides of a plan. *Memory*: an answer holds no more than it was asked for, and at least one row if there is one. *Cancellation*: a dropped call leaves nothing behind but work in vain.
#[async_trait]
pub trait Side: Send {
    /// A table's columns and key; `None` if it is not there.
    async fn table(&mut self, name: &TableName) -> Result<Option<SideTable>, SideError>;

    /// Takes a table for one comparison: until this side is dropped or loses its connection, no other side of this database is given it, on whatever machine. False if another has it. A database
    /// that one machine alone can reach gives it to everybody.
    async fn claim(&mut self, name: &TableName) -> Result<bool, SideError> {
        let _ = name;
        Ok(true)
    }

    /// How many rows there are.
    async fn count(&mut self, name: &TableName) -> Result<u64, SideError>;

    /// About how many rows there are, without reading them; `None` if nobody knows. For people who wait.
    async fn estimate(&mut self, name: &TableName) -> Result<Option<u64>, SideError>;

    /// Rows of a range, at most so many and about so many bytes.
    async fn scan(
        &mut self,
        plan: &TablePlan,
        range: &Range,
        (rows_max, bytes_max): (usize, usize),
    ) -> Result<Scanned, SideError>;

    /// Rows by their keys, each with the plan's columns in its order, in lossless text. Rows that are not there are left out.
    async fn rows(&mut self, plan: &TablePlan, keys: &[Key]) -> Result<Vec<Row>, SideError>;

    /// Whether it adds the rows of this plan up so that its sums and another such side's are of one kind.
    fn has_checksum(&self, plan: &TablePlan) -> bool {
        let _ = plan;
        false
    }

    /// The key of the range's `rows`-th row (from 1); `None` if it has fewer. Only where it [adds up](Side::has_checksum).
    async fn key_at(
        &mut self,
        plan: &TablePlan,
        range: &Range,
        rows: usize,
    ) -> Result<Option<Key>, SideError> {
        let _ = (range, rows);
        Err(has_no_checksum(plan))
    }

    /// The rows of a range, added up. Only where it [adds up](Side::has_checksum).
    async fn checksum(&mut self, plan: &TablePlan, range: &Range) -> Result<Checksum, SideError> {
        let _ = range;
        Err(has_no_checksum(plan))
    }
}

fn has_no_checksum(plan: &TablePlan) -> SideError {
    SideError {
        kind: SideErrorKind::Other,
        message: format!("table {}: rows are not added up there", plan.origin),
    }
}

/// Which rows changed during a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touched {
    /// Those of these keys, by [`TablePlan::identity`].
    Keys(HashSet<Bytes>),
    /// It cannot be said; any may have.
    Any,
}

/// Why a look has no end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PassageError {
    /// The mark did not come through in time: nothing is proved, and nothing may be repaired. In words, what holds it.
    #[error("the road stands still: {0}")]
    Stalled(String),
    /// A part of the road does not answer.
    #[error("{0}")]
    Unreachable(String),
}

/// The road from the origin to the replica, as a proof needs it.
///
/// *Order*: `begin`, `level`, `pass`, `touched`, each once for a look; `level` and `pass` also alone. What was committed at the origin before `pass` was called is applied at the replica when it returns, and every change that is applied then is in the log.
#[async_trait]
pub trait Passage: Send {
    /// Notes where the log ends. `touched` tells of what was written behind it.
    async fn begin(&mut self) -> Result<(), PassageError>;

    /// Returns once what the log held before the call can be read at the origin. An origin that waits for a synchronous standby tells its log of a commit before its readers see it.
    async fn level(&mut self) -> Result<(), PassageError>;

    /// Returns once the replica holds everything that was committed at the origin before the call.
    async fn pass(&mut self) -> Result<(), PassageError>;

    /// Which of these rows the log has records of behind where `begin` found its end.
    async fn touched(
        &mut self,
        plan: &TablePlan,
        among: &HashSet<Bytes>,
    ) -> Result<Touched, PassageError>;

    /// Of these rows, those of which the log has records still, up to a bound: as the records before the end of the look leave them, in the plan's columns, `None` if they are deleted. What no
    /// record tells is [`Value::Absent`].
    async fn told(
        &mut self,
        plan: &TablePlan,
        among: &HashSet<Bytes>,
    ) -> Result<HashMap<Bytes, Option<Row>>, PassageError>;

    /// Where the look was taken, in words (positions, offsets).
    fn position(&self) -> String;
}

/// A replica that is mended.
///
/// *Order*: `fence`, then any number of the others, then `commit` or `give_up`. *Fence*: from when it is had until then nobody else writes the table, also no row that is not there yet; readers go on.
/// *Durability*: what was written holds once `commit` returns, all of it or nothing. *Cancellation*: a dropped mender's writes never happened.
#[async_trait]
pub trait Mender: Send {
    /// Takes the table's fence. Gives up ([`SideErrorKind::Busy`]) after a time in which writers behind it wait, too.
    async fn fence(&mut self, plan: &TablePlan) -> Result<(), SideError>;

    /// Rows by their keys, as under the fence.
    async fn rows(&mut self, plan: &TablePlan, keys: &[Key]) -> Result<Vec<Row>, SideError>;

    /// Writes a row. What the database refuses (a unique value, a foreign key, a trigger's word) is told in words and leaves the other writes as they are.
    async fn write(
        &mut self,
        plan: &TablePlan,
        write: &Mend,
    ) -> Result<Result<(), String>, SideError>;

    /// Takes rows out and puts them in as they should be, all or none: rows that hold each other's unique values cannot be written one after another. Refused in words where a delete would do more than
    /// take the row out (foreign keys with an action, triggers).
    async fn replace(
        &mut self,
        plan: &TablePlan,
        rows: &[(Key, Row)],
    ) -> Result<Result<(), String>, SideError>;

    /// Commits, and lifts the fence.
    async fn commit(&mut self) -> Result<(), SideError>;

    /// Undoes all writes since the fence, and lifts it.
    async fn give_up(&mut self);
}
