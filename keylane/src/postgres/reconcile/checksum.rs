//! Rows added up in the database.

use keylane_core::model::Value;
use keylane_core::reconcile::{Checksum, Key, Range, SideError, SideErrorKind, TablePlan, Told};
use tokio_postgres::{Error, SimpleQueryMessage, SimpleQueryRow};

use super::side::{PostgresSide, form};
use super::sql;

/// Cells that only this process spells cannot be added up elsewhere.
pub(super) fn has_checksum(plan: &TablePlan) -> bool {
    let mut columns = plan.columns.iter();
    columns.all(|column| !matches!(column.told, Told::Spelt(_)))
}

pub(super) async fn key_at(
    side: &mut PostgresSide,
    plan: &TablePlan,
    range: &Range,
    rows: usize,
) -> Result<Option<Key>, SideError> {
    let which = side.which();
    let sql = sql::key_at(which, plan, side.filter(), range, rows);
    let Some(cells) = first(side, plan, "looking for a key", &sql).await? else {
        return Ok(None);
    };
    let columns = plan.columns.iter().take(plan.key).enumerate();
    let key = columns.map(|(place, column)| {
        let text = cells.try_get(place)?;
        let form = form(which.kind(column));
        Ok(text.map_or(Value::Null, |text| form.value(text)))
    });
    let key: Result<Key, Error> = key.collect();
    key.map(Some)
        .map_err(|error| failed(side, plan, "looking for a key", &error))
}

pub(super) async fn checksum(
    side: &mut PostgresSide,
    plan: &TablePlan,
    range: &Range,
) -> Result<Checksum, SideError> {
    let sql = sql::checksum(side.which(), plan, side.filter(), range);
    let found = first(side, plan, "adding up rows", &sql).await?;
    let number = |place: usize| -> Option<i128> {
        let text = found.as_ref()?.try_get(place).ok()??;
        text.parse().ok()
    };
    let sums = || {
        Some(Checksum {
            rows: u64::try_from(number(0)?).ok()?,
            sums: [number(1)?, number(2)?],
        })
    };
    sums().ok_or_else(|| SideError {
        kind: SideErrorKind::Other,
        message: format!(
            "adding up {}: the server's answer cannot be read",
            sql::table(side.which(), plan)
        ),
    })
}

/// The statement's first row.
async fn first(
    side: &mut PostgresSide,
    plan: &TablePlan,
    doing: &str,
    sql: &str,
) -> Result<Option<SimpleQueryRow>, SideError> {
    let answered = side.client().await?.simple_query(sql).await;
    let messages = answered.map_err(|error| failed(side, plan, doing, &error))?;
    let mut rows = messages.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    Ok(rows.next())
}

fn failed(side: &PostgresSide, plan: &TablePlan, doing: &str, error: &Error) -> SideError {
    let table = sql::table(side.which(), plan);
    side.failed(&format!("{doing} in {table}"), error)
}
