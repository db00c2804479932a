//! The origin's tables: their keys, about how many rows, and what keeps one from being captured.

use std::path::Path;
use std::time::Duration;

use keylane::postgres::connect::{ConnectError, ConnectErrorKind, ConnectOptions, connect};
use rusqlite::{Connection, OpenFlags};

/// The longest the origin may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// A table that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundTable {
    /// The schema; `None` where there are none (SQLite).
    pub schema: Option<String>,
    /// The table.
    pub table: String,
    /// The columns of its primary key; none for a table without one.
    pub key: Vec<String>,
    /// About how many rows it has, if the database knows.
    pub rows_estimated: Option<u64>,
    /// Why it cannot be captured as it is, and what mends it.
    pub refused: Option<String>,
}

impl FoundTable {
    /// As it is written under `tables`.
    pub fn name(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{schema}.{}", self.table),
            None => self.table.clone(),
        }
    }

    /// A line for people.
    pub fn comment(&self) -> String {
        let key = match self.key.is_empty() {
            true => "no primary key: one order for the whole table".to_owned(),
            false => format!("key ({})", self.key.join(", ")),
        };
        match self.rows_estimated {
            Some(rows) => format!("{key}; about {rows} rows"),
            None => key,
        }
    }
}

/// Why the tables could not be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfound {
    /// Whether the origin is not reachable (or there is no such thing) or the question itself is wrong.
    pub unreachable: bool,
    /// What happened, without secrets.
    pub message: String,
}

/// The tables of `postgres://…` or `sqlite:PATH`, by name.
///
/// # Errors
/// If the origin cannot be asked.
pub async fn tables_of(url: &str) -> Result<Vec<FoundTable>, Unfound> {
    match url.strip_prefix("sqlite:") {
        Some(path) => {
            let path = path.strip_prefix("//").unwrap_or(path).to_owned();
            let found = tokio::task::spawn_blocking(move || sqlite(Path::new(&path)));
            found.await.map_err(|error| Unfound {
                unreachable: false,
                message: error.to_string(),
            })?
        }
        None => postgres(url).await,
    }
}

const POSTGRES_TABLES: &str = "
SELECT n.nspname::text, c.relname::text, c.reltuples::bigint, c.relreplident::text, c.relpersistence::text,
       coalesce((SELECT array_agg(a.attname::text ORDER BY k.place)
                 FROM pg_index i, unnest(i.indkey) WITH ORDINALITY AS k(number, place), pg_attribute a
                 WHERE i.indrelid = c.oid AND i.indisprimary AND a.attrelid = c.oid AND a.attnum = k.number), '{}'),
       c.oid::regclass::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'keylane') AND n.nspname !~ '^pg_'
  AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1, 2";

async fn postgres(url: &str) -> Result<Vec<FoundTable>, Unfound> {
    let options = ConnectOptions::within(ANSWER_MAX);
    let client = connect(url, "keylane init", &options)
        .await
        .map_err(unfound)?;
    let refused = |error: tokio_postgres::Error| Unfound {
        unreachable: false,
        message: format!("the origin's tables cannot be listed: {error}"),
    };
    let rows = client.query(POSTGRES_TABLES, &[]).await.map_err(refused)?;
    let table = |row: &tokio_postgres::Row| {
        let key: Vec<String> = row.try_get(5)?;
        let (rows, quoted): (i64, String) = (row.try_get(2)?, row.try_get(6)?);
        let (identity, persistence): (String, String) = (row.try_get(3)?, row.try_get(4)?);
        Ok(FoundTable {
            schema: Some(row.try_get(0)?),
            table: row.try_get(1)?,
            rows_estimated: u64::try_from(rows).ok(),
            refused: postgres_problem(&quoted, &identity, &persistence, &key),
            key,
        })
    };
    rows.iter()
        .map(table)
        .collect::<Result<_, _>>()
        .map_err(refused)
}

fn unfound(error: ConnectError) -> Unfound {
    Unfound {
        unreachable: error.kind != ConnectErrorKind::BadUrl,
        message: format!("the origin cannot be asked: {}", error.message),
    }
}

fn postgres_problem(
    quoted: &str,
    identity: &str,
    persistence: &str,
    key: &[String],
) -> Option<String> {
    let mend = |why: &str, fix: &str| Some(format!("{why}; run: ALTER TABLE {quoted} {fix};"));
    match (persistence, identity) {
        ("u", _) => mend("it is unlogged", "SET LOGGED"),
        (_, "d") if key.is_empty() => mend(
            "it has no primary key, so updates and deletes do not tell which row",
            "REPLICA IDENTITY FULL",
        ),
        (_, "n") => mend(
            "it has REPLICA IDENTITY NOTHING, so updates and deletes do not tell which row",
            if key.is_empty() {
                "REPLICA IDENTITY FULL"
            } else {
                "REPLICA IDENTITY DEFAULT"
            },
        ),
        _ => None,
    }
}

fn sqlite(path: &Path) -> Result<Vec<FoundTable>, Unfound> {
    let unfound = |cause: rusqlite::Error| Unfound {
        unreachable: true,
        message: format!("the origin {} cannot be read: {cause}", path.display()),
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(unfound)?;
    let read = || -> rusqlite::Result<Vec<FoundTable>> {
        connection.busy_timeout(ANSWER_MAX)?;
        let mut statement = connection.prepare(
            "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table'
             AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE 'keylane\\_%' ESCAPE '\\' ORDER BY name",
        )?;
        let names = statement.query_map([], |row| row.get(0))?;
        let names: Vec<String> = names.collect::<Result<_, _>>()?;
        names
            .into_iter()
            .map(|name| sqlite_table(&connection, name))
            .collect()
    };
    read().map_err(unfound)
}

fn sqlite_table(connection: &Connection, name: String) -> rusqlite::Result<FoundTable> {
    let mut statement =
        connection.prepare("SELECT name FROM pragma_table_info(?1) WHERE pk > 0 ORDER BY pk")?;
    let key = statement.query_map([&name], |row| row.get(0))?;
    let key: Vec<String> = key.collect::<Result<_, _>>()?;
    // The highest row id is found at once, where counting reads the table; tables without row ids tell nothing.
    let quoted = name.replace('"', "\"\"");
    let highest = format!("SELECT coalesce(max(rowid), 0) FROM \"{quoted}\"");
    let rows: Option<i64> = connection.query_row(&highest, [], |row| row.get(0)).ok();
    Ok(FoundTable {
        schema: None,
        table: name,
        key,
        rows_estimated: rows.and_then(|rows| u64::try_from(rows).ok()),
        refused: None,
    })
}
