//! What must be right at the origin, as a list for people: each with what was found and how to mend it.

use keylane_core::model::TableSchema;
use rusqlite::{Connection, OpenFlags};

use super::super::names::quoted;
use super::origin::SqliteOriginOptions;
use super::shape;
use crate::preflight::Finding;

/// Looks at the origin without changing it. Blocks while it reads the file's schema.
pub fn preflight(options: &SqliteOriginOptions) -> Vec<Finding> {
    let subject = options.path.display().to_string();
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(&options.path, flags).and_then(|connection| {
        let mode = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
        Ok((connection, mode))
    });
    let (connection, mode): (Connection, String) = match opened {
        Ok(opened) => opened,
        Err(cause) => {
            let check = Finding::passed("open", subject, cause.to_string());
            let fix = "name an existing SQLite database that this user may read and write";
            return vec![check.unless(false, fix)];
        }
    };
    let is_wal = mode.eq_ignore_ascii_case("wal");
    let mut checks = vec![
        Finding::passed("open", &subject, "readable"),
        Finding::passed(
            "journal_mode",
            &subject,
            format!("journal_mode={mode}"),
        )
        .unless(
            is_wal,
            "PRAGMA journal_mode=WAL; -- in other modes capture and the writers hold each other up",
        )
        .warning(),
    ];
    match shape::captured(&connection, options) {
        Err(error) => checks.push(
            Finding::passed("tables", subject, error.message)
                .unless(false, "correct the list of tables"),
        ),
        Ok(schemas) => {
            let found = format!("{} tables", schemas.len());
            let fix = "create the tables first";
            checks.push(Finding::passed("tables", subject, found).unless(!schemas.is_empty(), fix));
            for schema in &schemas {
                match options.is_outbox(&schema.table.name) {
                    true => checks.extend(of_outbox(&connection, schema)),
                    false => checks.extend(of_table(&connection, schema)),
                }
            }
        }
    }
    checks
}

fn of_table(connection: &Connection, schema: &TableSchema) -> [Finding; 3] {
    let name = schema.table.to_string();
    let uniques = schema.uniques.len();
    let nullable = key_columns_that_may_be_null(connection, schema).unwrap_or(0);
    [
        Finding::passed("key", &name, format!("{} key columns", schema.key.len()))
            .unless(
                schema.has_key(),
                "give it a PRIMARY KEY: without one all its changes keep one order, and updates compare whole rows",
            )
            .warning(),
        Finding::passed("replace", &name, format!("{uniques} secondary unique indexes"))
            .unless(
                uniques == 0,
                "do not write it with INSERT OR REPLACE or UPDATE OR REPLACE, or set PRAGMA recursive_triggers=ON in every writer: \
                 otherwise no trigger fires for a row that REPLACE removes because of a secondary unique index",
            )
            .warning(),
        Finding::passed("key_null", &name, format!("{nullable} key columns may hold NULL"))
            .unless(
                nullable == 0,
                "declare the key's columns NOT NULL: SQLite takes several rows with a NULL key, which cannot be told apart",
            )
            .warning(),
    ]
}

/// What stands in an outbox that could not be published. A table of other columns is told about elsewhere.
fn of_outbox(connection: &Connection, schema: &TableSchema) -> Option<Finding> {
    let name = quoted(&schema.table.name);
    let sql = format!("SELECT count(*) FROM {name} WHERE parked IS NOT NULL");
    let parked: u64 = connection.query_row(&sql, [], |row| row.get(0)).ok()?;
    let fix = format!(
        "SELECT seq, topic, parked FROM {name} WHERE parked IS NOT NULL; then mend and put them in again, or delete them"
    );
    let found = format!("{parked} rows are parked");
    let finding = Finding::passed("outbox.parked", schema.table.to_string(), found);
    Some(finding.unless(parked == 0, fix).warning())
}

/// SQLite lets the columns of a primary key hold NULL unless it is the row number, or they are declared otherwise.
fn key_columns_that_may_be_null(
    connection: &Connection,
    schema: &TableSchema,
) -> rusqlite::Result<usize> {
    let columns: Vec<_> = schema
        .key
        .iter()
        .filter_map(|place| schema.columns.get(*place))
        .collect();
    if let [only] = columns.as_slice()
        && only.type_name.eq_ignore_ascii_case("INTEGER")
    {
        return Ok(0);
    }
    connection.query_row(
        "SELECT count(*) FROM pragma_table_info(?1) WHERE pk > 0 AND NOT \"notnull\"",
        [&schema.table.name],
        |row| row.get(0),
    )
}
