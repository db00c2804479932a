//! Tables whose deletes take rows of other tables with them: those that a foreign key with an action refers to.

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::super::names::replica_name;
use keylane_core::apply::{RowWrite, WriteKind};
use keylane_core::model::TableName;

/// What the file's foreign keys say, read again when its tables have changed.
#[derive(Default)]
pub(super) struct Takers {
    version: Option<i64>,
    /// In lower case: SQLite tells no case apart in names.
    tables: BTreeSet<String>,
}

impl Takers {
    /// Reads the foreign keys again if the file's tables have changed since.
    pub(super) fn refresh(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let pragma = |name: &str| -> rusqlite::Result<i64> {
            let sql = format!("PRAGMA {name}");
            let mut statement = connection.prepare_cached(&sql)?;
            statement.query_row([], |row| row.get(0))
        };
        let version = pragma("schema_version")?;
        if self.version == Some(version) {
            return Ok(());
        }
        self.tables.clear();
        if pragma("foreign_keys")? == 1 {
            let mut statement = connection.prepare(
                "SELECT lower(f.\"table\") FROM pragma_table_list AS t, pragma_foreign_key_list(t.name) AS f
                 WHERE t.schema = 'main' AND t.type = 'table'
                   AND (f.on_delete NOT IN ('NO ACTION', 'RESTRICT') OR f.on_update NOT IN ('NO ACTION', 'RESTRICT'))",
            )?;
            for name in statement.query_map([], |row| row.get(0))? {
                self.tables.insert(name?);
            }
        }
        self.version = Some(version);
        Ok(())
    }

    /// Whether a delete from this table may take others with it.
    pub(super) fn has(&self, table: &TableName) -> bool {
        !self.tables.is_empty() && self.tables.contains(&replica_name(table).to_lowercase())
    }

    /// Whether this write is such a delete.
    pub(super) fn is_meant(&self, write: &RowWrite) -> bool {
        let deletes = matches!(write.kind, WriteKind::Delete { .. } | WriteKind::Truncate);
        deletes && self.has(&write.schema.table)
    }
}
