//! Whether a table's changes tell all that must be known of them, and the command that mends it if not.

use super::catalog::CatalogTable;
use super::error::code;
use super::publication::quoted_table;

/// Why a table cannot be captured as it is.
pub(super) struct TableProblem {
    pub code: &'static str,
    pub found: String,
    pub fix: String,
}

/// Why this table cannot be captured as it is, if so.
pub(super) fn table_problem(
    table: &CatalogTable,
    order_key: Option<&Vec<String>>,
) -> Option<TableProblem> {
    let quoted = quoted_table(&table.name);
    let problem = |found: &str, fix: String| {
        Some(TableProblem {
            code: code::TABLE,
            found: found.to_owned(),
            fix,
        })
    };
    if !matches!(table.kind, b'r' | b'p') {
        return problem(
            "is not a table (a view or a foreign table)",
            "take it out of the configuration".to_owned(),
        );
    }
    if table.persistence != b'p' {
        return problem(
            "is unlogged or temporary: its changes are not in the log",
            format!("ALTER TABLE {quoted} SET LOGGED;"),
        );
    }
    identity_problem(table, &quoted).or_else(|| order_key_problem(table, order_key?, &quoted))
}

fn identity_problem(table: &CatalogTable, quoted: &str) -> Option<TableProblem> {
    let identity = |found: &str, fix: String| {
        Some(TableProblem {
            code: code::REPLICA_IDENTITY,
            found: found.to_owned(),
            fix,
        })
    };
    let full = format!("ALTER TABLE {quoted} REPLICA IDENTITY FULL;");
    if table.replica_identity == b'n' {
        let fix = match table.primary {
            Some(_) => format!("ALTER TABLE {quoted} REPLICA IDENTITY DEFAULT;"),
            None => full,
        };
        return identity(
            "has REPLICA IDENTITY NOTHING: updates and deletes do not tell which row",
            fix,
        );
    }
    if table.replica_identity == b'd' && table.primary.is_none() {
        return identity(
            "has no primary key: updates and deletes do not tell which row",
            full,
        );
    }
    if table.replica_identity == b'i' && table.identity_index.is_none() {
        return identity("names an index as its replica identity that is gone", full);
    }
    if !table.deviating_partitions.is_empty() {
        let word = match table.replica_identity {
            b'f' => "FULL",
            _ => "DEFAULT",
        };
        let fixes: Vec<String> = table
            .deviating_partitions
            .iter()
            .map(|partition| format!("ALTER TABLE {partition} REPLICA IDENTITY {word};"))
            .collect();
        return identity(
            "has partitions whose replica identity is not its own",
            fixes.join(" "),
        );
    }
    let column = table
        .key()
        .into_iter()
        .flatten()
        .find(|name| table.generated.contains(*name))?;
    identity(
        &format!(
            "has column {column} in its key, which the database computes and the log leaves out"
        ),
        format!(
            "ALTER TABLE {quoted} REPLICA IDENTITY USING INDEX …; (a unique index over plain columns)"
        ),
    )
}

/// An order key must be in every before image, or a row that changes it could not be taken from its former place.
fn order_key_problem(
    table: &CatalogTable,
    order_key: &[String],
    quoted: &str,
) -> Option<TableProblem> {
    if let Some(column) = order_key.iter().find(|name| table.column(name).is_none()) {
        return Some(TableProblem {
            code: code::TABLE,
            found: format!(
                "has no column {column}, which the configuration names as its order key"
            ),
            fix: "correct the order key in the configuration".to_owned(),
        });
    }
    let told = table.told_before()?;
    let column = order_key.iter().find(|name| !told.contains(name))?;
    Some(TableProblem {
        code: code::REPLICA_IDENTITY,
        found: format!(
            "does not tell column {column} of its order key when a row is updated or deleted"
        ),
        fix: format!("ALTER TABLE {quoted} REPLICA IDENTITY FULL;"),
    })
}
