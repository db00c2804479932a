//! Rows of outbox tables, written back: parked with the reason, or deleted once they are published.

use keylane_core::capture::{OutboxRow, RefusedRow};
use keylane_core::model::Value;
use rusqlite::{Connection, TransactionBehavior, params, params_from_iter};

use super::super::cell::Bound;
use super::super::names::quoted;

/// Rows deleted in one transaction, so that the origin's own writers hardly wait.
const ROWS_MAX: usize = 1_000;

/// Writes rows back with the reason under `parked`; whole, if their writer has deleted them.
pub(super) fn park(connection: &mut Connection, rows: &[RefusedRow]) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for refused in rows {
        let (table, reason) = (quoted(&refused.row.table.name), refused.refusal.to_string());
        let hit = transaction
            .prepare_cached(&format!("UPDATE {table} SET parked = ?2 WHERE seq = ?1"))?
            .execute(params![refused.row.seq, reason])?;
        if hit > 0 {
            continue;
        }
        let columns = &refused.schema.columns;
        let names: Vec<String> = columns.iter().map(|it| quoted(&it.name)).collect();
        let reason = Value::text(reason);
        let cells = columns.iter().zip(&refused.cells);
        let cells = cells.map(|(column, cell)| match &*column.name {
            "parked" => Bound(&reason),
            _ => Bound(cell),
        });
        let marks = vec!["?"; names.len()].join(", ");
        let sql = format!(
            "INSERT INTO {table} ({}) VALUES ({marks})",
            names.join(", ")
        );
        transaction
            .prepare_cached(&sql)?
            .execute(params_from_iter(cells))?;
    }
    transaction.commit()
}

/// Deletes these rows.
pub(super) fn purge(connection: &mut Connection, rows: &[OutboxRow]) -> rusqlite::Result<()> {
    for some in rows.chunks(ROWS_MAX) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for row in some {
            let table = quoted(&row.table.name);
            transaction
                .prepare_cached(&format!(
                    "DELETE FROM {table} WHERE seq = ?1 AND parked IS NULL"
                ))?
                .execute([row.seq])?;
        }
        transaction.commit()?;
    }
    Ok(())
}
