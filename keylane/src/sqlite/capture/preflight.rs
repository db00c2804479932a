//! What must be right at the origin, as a list for people: each with what was found and how to mend it.

use rusqlite::{Connection, OpenFlags};

use super::super::names::quoted;
use super::super::table;
use super::origin::SqliteOriginOptions;
use super::shape;

/// How bad a failed check is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Capture will not start, or will be wrong.
    Error,
    /// Capture works, with a limit or a cost that a person should know.
    Warning,
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The check's stable name.
    pub id: &'static str,
    /// Whether it passed.
    pub ok: bool,
    /// How bad it is if it did not.
    pub severity: Severity,
    /// What was looked at.
    pub subject: String,
    /// What was found.
    pub found: String,
    /// How to mend it; empty if it passed.
    pub fix: String,
}

/// Looks at the origin without changing it. Blocks while it reads the file's schema.
pub fn preflight(options: &SqliteOriginOptions) -> Vec<Finding> {
    let subject = options.path.display().to_string();
    let failed = |id, found: String, fix: &str| Finding {
        id,
        ok: false,
        severity: Severity::Error,
        subject: subject.clone(),
        found,
        fix: fix.to_owned(),
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = match Connection::open_with_flags(&options.path, flags) {
        Ok(connection) => connection,
        Err(cause) => {
            return vec![failed(
                "origin.open",
                cause.to_string(),
                "name an existing SQLite file that this user may read and write",
            )];
        }
    };
    let mut findings = vec![journal(&connection, &subject)];
    match shape::captured(&connection, options) {
        Err(error) => findings.push(failed(
            "origin.tables",
            error.message,
            "correct the list of tables",
        )),
        Ok(schemas) => {
            findings.push(Finding {
                id: "origin.tables",
                ok: !schemas.is_empty(),
                severity: Severity::Error,
                subject: subject.clone(),
                found: format!("{} tables", schemas.len()),
                fix: if schemas.is_empty() {
                    "create the tables first".to_owned()
                } else {
                    String::new()
                },
            });
            for schema in &schemas {
                findings.extend(of_table(&connection, schema));
            }
        }
    }
    findings
}

fn journal(connection: &Connection, subject: &str) -> Finding {
    let mode = connection.query_row("PRAGMA journal_mode", [], |row| row.get::<_, String>(0));
    let found = mode.unwrap_or_else(|cause| cause.to_string());
    let ok = found.eq_ignore_ascii_case("wal");
    let severity = if ok || !found.contains(' ') {
        Severity::Warning
    } else {
        Severity::Error
    };
    Finding {
        id: "origin.journal_mode",
        ok,
        severity,
        subject: subject.to_owned(),
        fix: if ok {
            String::new()
        } else {
            "PRAGMA journal_mode=WAL; -- in other modes capture's reads and the writers hold each other up".to_owned()
        },
        found: format!("journal_mode={found}"),
    }
}

fn of_table(connection: &Connection, schema: &keylane_core::model::TableSchema) -> Vec<Finding> {
    let name = &schema.table.name;
    let mut findings = Vec::new();
    let mut warn = |id, ok: bool, found: String, fix: String| {
        findings.push(Finding {
            id,
            ok,
            severity: Severity::Warning,
            subject: schema.table.to_string(),
            found,
            fix: if ok { String::new() } else { fix },
        });
    };
    warn(
        "origin.key",
        schema.has_key(),
        if schema.has_key() {
            "primary key"
        } else {
            "no primary key"
        }
        .to_owned(),
        format!(
            "give {} a PRIMARY KEY: without one all its changes keep one order, and updates compare whole rows",
            quoted(name)
        ),
    );
    warn(
        "origin.replace",
        schema.uniques.is_empty(),
        format!("{} secondary unique indexes", schema.uniques.len()),
        "do not write it with INSERT OR REPLACE or UPDATE OR REPLACE, or set PRAGMA recursive_triggers=ON in every writer: a row that REPLACE removes because of a secondary unique index fires no trigger otherwise".to_owned(),
    );
    let nullable: Vec<&str> = key_columns_that_may_be_null(connection, name).unwrap_or_default();
    warn(
        "origin.key_null",
        nullable.is_empty(),
        if nullable.is_empty() { "key columns hold no NULL" } else { "key columns may hold NULL" }.to_owned(),
        "declare the key's columns NOT NULL: SQLite takes several rows with a NULL key, which cannot be told apart".to_owned(),
    );
    findings
}

fn key_columns_that_may_be_null(
    connection: &Connection,
    name: &str,
) -> rusqlite::Result<Vec<&'static str>> {
    let (columns, key) = table::columns(connection, name)?;
    let mut statement = connection
        .prepare("SELECT count(*) FROM pragma_table_info(?1) WHERE pk > 0 AND NOT \"notnull\"")?;
    let count: usize = statement.query_row([name], |row| row.get(0))?;
    let only_integer = key.len() == 1
        && key
            .first()
            .and_then(|place| columns.get(*place))
            .is_some_and(|column| column.type_name.eq_ignore_ascii_case("INTEGER"));
    Ok(if only_integer {
        Vec::new()
    } else {
        vec!["key"; count]
    })
}
