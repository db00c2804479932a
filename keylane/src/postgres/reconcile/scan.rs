//! Rows out of a binary `COPY`: each message one row, its cells with their lengths before them.

use std::pin::pin;

use bytes::{Buf as _, Bytes};
use futures_util::TryStreamExt as _;
use keylane_core::model::Value;
use keylane_core::reconcile::{EncodedRow, Scanned, TablePlan, Told, push_cell};
use tokio_postgres::{Client, Error};

/// What every binary COPY begins with.
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// Why there are no rows.
pub(super) enum Failure {
    Sql(Error),
    /// The server sent what is not a COPY as it is documented.
    Garbled,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Sql(error)
    }
}

/// Runs the statement and takes rows up to about so many bytes; what comes behind them is dropped as it arrives.
pub(super) async fn read(
    client: &Client,
    sql: &str,
    plan: &TablePlan,
    (rows_max, bytes_max): (usize, usize),
) -> Result<Scanned, Failure> {
    let spells = plan
        .columns
        .iter()
        .any(|it| matches!(it.told, Told::Spelt(_)));
    let mut stream = pin!(client.copy_out(sql).await?);
    let mut scanned = Scanned::default();
    let mut bytes = 0;
    let mut begun = false;
    while let Some(mut message) = stream.try_next().await? {
        if !begun {
            begun = true;
            skip_header(&mut message).ok_or(Failure::Garbled)?;
            if message.is_empty() {
                continue;
            }
        }
        if message.len() < 2 {
            return Err(Failure::Garbled);
        }
        let count = message.get_i16();
        if count < 0 {
            break;
        }
        if usize::try_from(count).ok() != Some(plan.columns.len()) {
            return Err(Failure::Garbled);
        }
        if bytes >= bytes_max {
            scanned.cut = true;
            return Ok(scanned);
        }
        let row = match spells {
            false => EncodedRow(message),
            true => spelt(plan, &EncodedRow(message)).ok_or(Failure::Garbled)?,
        };
        bytes += row.size_bytes();
        scanned.rows.push(row);
    }
    scanned.cut = scanned.rows.len() >= rows_max;
    Ok(scanned)
}

/// The signature, flags and an extension that nobody uses.
fn skip_header(message: &mut Bytes) -> Option<()> {
    if !message.starts_with(SIGNATURE) {
        return None;
    }
    message.advance(SIGNATURE.len());
    if message.len() < 8 {
        return None;
    }
    message.advance(4);
    let extension = usize::try_from(message.get_i32()).ok()?;
    (message.len() >= extension).then(|| message.advance(extension))
}

fn spelt(plan: &TablePlan, row: &EncodedRow) -> Option<EncodedRow> {
    let mut bytes = Vec::with_capacity(row.0.len());
    let mut cells = row.cells();
    for column in &plan.columns {
        let cell = cells.next()?;
        match (column.told, cell) {
            (Told::Spelt(kind), Some(cell)) => {
                let value = Value::text(std::str::from_utf8(cell).ok()?);
                push_cell(&mut bytes, kind.spell(&value).as_deref());
            }
            (_, cell) => push_cell(&mut bytes, cell),
        }
    }
    Some(EncodedRow(bytes.into()))
}
