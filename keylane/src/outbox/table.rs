//! The table, in PostgreSQL and in SQLite.

use rusqlite::{Connection, params};
use tokio_postgres::GenericClient;
use tokio_postgres::types::{ToSql, Type};

use super::error::OutboxError;
use super::event::OutboxEvent;

/// The table's usual name.
const USUAL: &str = "keylane_outbox";

/// The table in PostgreSQL. The guide shows the same words.
const POSTGRES: &str = include_str!("postgres.sql");
/// The table in SQLite. The guide shows the same words.
const SQLITE: &str = include_str!("sqlite.sql");

/// A service's outbox. Cheap to make; it holds a name, no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outbox {
    /// As statements name it.
    quoted: String,
}

impl Default for Outbox {
    /// The table `keylane_outbox`, in PostgreSQL of the first schema of the search path.
    fn default() -> Self {
        Outbox::named(USUAL)
    }
}

impl Outbox {
    /// The table of this name: `TABLE`, or in PostgreSQL `SCHEMA.TABLE`.
    pub fn named(name: &str) -> Self {
        let quoted = |part: &str| format!("\"{}\"", part.replace('"', "\"\""));
        let parts: Vec<String> = name.split('.').map(quoted).collect();
        Outbox {
            quoted: parts.join("."),
        }
    }

    /// The statement that makes it in PostgreSQL, for those who make their tables otherwise.
    pub fn postgres_sql(&self) -> String {
        POSTGRES.replace(USUAL, &self.quoted)
    }

    /// The statement that makes it in SQLite, for those who make their tables otherwise.
    pub fn sqlite_sql(&self) -> String {
        SQLITE.replace(USUAL, &self.quoted)
    }

    /// Makes the table in PostgreSQL if it is not there.
    ///
    /// # Errors
    /// If the database does not answer or does not allow it.
    pub async fn create_postgres(&self, client: &impl GenericClient) -> Result<(), OutboxError> {
        Ok(client.batch_execute(&self.postgres_sql()).await?)
    }

    /// Puts an event into it, within the caller's transaction: published if that is committed, and only then. Returns its id.
    ///
    /// # Errors
    /// If the event cannot be published whatever the topic, or the database does not take it.
    pub async fn put_postgres(
        &self,
        transaction: &impl GenericClient,
        event: &OutboxEvent,
    ) -> Result<String, OutboxError> {
        event.check()?;
        let sql = format!(
            "INSERT INTO {} (id, topic, partition_key, type, source, subject, content_type, headers, payload)
             VALUES (coalesce($1, gen_random_uuid()::text), $2, $3, $4, $5, $6, $7, $8::jsonb, $9) RETURNING id",
            self.quoted
        );
        let payload = event.payload.as_deref();
        let headers = event.headers_json();
        let values: [(&(dyn ToSql + Sync), Type); 9] = [
            (&event.id, Type::TEXT),
            (&event.topic, Type::TEXT),
            (&event.key, Type::TEXT),
            (&event.type_name, Type::TEXT),
            (&event.source, Type::TEXT),
            (&event.subject, Type::TEXT),
            (&event.content_type, Type::TEXT),
            (&headers, Type::TEXT),
            (&payload, Type::BYTEA),
        ];
        let rows = transaction.query_typed(&sql, &values).await?;
        let row = rows.first().expect("INSERT … RETURNING of one row has one");
        Ok(row.try_get(0)?)
    }

    /// Makes the table in SQLite if it is not there.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn create_sqlite(&self, connection: &Connection) -> Result<(), OutboxError> {
        Ok(connection.execute_batch(&self.sqlite_sql())?)
    }

    /// Puts an event into it, within the caller's transaction: published if that is committed, and only then. Returns its id.
    ///
    /// # Errors
    /// If the event cannot be published whatever the topic, or the file does not take it.
    pub fn put_sqlite(
        &self,
        transaction: &Connection,
        event: &OutboxEvent,
    ) -> Result<String, OutboxError> {
        event.check()?;
        let sql = format!(
            "INSERT INTO {} (id, topic, partition_key, type, source, subject, content_type, headers, payload)
             VALUES (coalesce(?1, lower(hex(randomblob(16)))), ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) RETURNING id",
            self.quoted
        );
        let values = params![
            event.id,
            event.topic,
            event.key,
            event.type_name,
            event.source,
            event.subject,
            event.content_type,
            event.headers_json(),
            event.payload.as_deref(),
        ];
        let mut statement = transaction.prepare_cached(&sql)?;
        Ok(statement.query_row(values, |row| row.get(0))?)
    }
}

#[cfg(test)]
mod tests {
    use super::{Outbox, POSTGRES, SQLITE};

    #[test]
    fn the_guide_shows_the_tables_as_they_are_made() {
        let guide = include_str!("../../../docs/guides/outbox.md");
        assert!(guide.contains(POSTGRES), "{POSTGRES}");
        assert!(guide.contains(SQLITE), "{SQLITE}");
    }

    #[test]
    fn a_name_is_quoted_part_by_part() {
        let sql = Outbox::named("shop.my \"box").postgres_sql();
        assert!(
            sql.contains("CREATE TABLE IF NOT EXISTS \"shop\".\"my \"\"box\" ("),
            "{sql}"
        );
        assert!(!sql.contains("keylane_outbox"), "{sql}");
    }
}
