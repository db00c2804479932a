//! Keylane's own tables in somebody's database, in schema `keylane`, and their version.

use keylane_core::apply::ApplyError;
use keylane_core::error::ApplyErrorKind;
use tokio_postgres::Client;

use super::error::apply_error;

/// Any number, the same for every version: who creates tables.
const ADVISORY_LOCK: i64 = 0x6b65_796c_616e_6501;

/// Tables that are made, and brought up to date, together.
pub(super) struct OwnTables {
    /// Whose database it is, in words.
    pub whose: &'static str,
    /// The table, in schema `keylane`, that holds their version.
    pub meta: &'static str,
    /// What makes each version out of the one before; the first out of nothing, `meta` included.
    pub versions: &'static [&'static str],
}

impl OwnTables {
    /// Creates the tables where they are missing.
    ///
    /// # Errors
    /// `Denied` if the user may not create them, `Other` if a later version of the program wrote them.
    pub(super) async fn prepare(&self, client: &mut Client) -> Result<(), ApplyError> {
        let doing = format!(
            "creating Keylane's own tables (schema keylane) in {}",
            self.whose
        );
        let at_rim = |error: tokio_postgres::Error| apply_error(&error, &doing);
        let newest = i32::try_from(self.versions.len()).unwrap_or(i32::MAX);
        if self.stored_version(client).await.map_err(at_rim)? == Some(newest) {
            return Ok(());
        }
        let transaction = client.transaction().await.map_err(at_rim)?;
        transaction
            .execute("SELECT pg_advisory_xact_lock($1)", &[&ADVISORY_LOCK])
            .await
            .map_err(at_rim)?;
        let stored = self.stored_version(transaction.client()).await;
        let stored = stored.map_err(at_rim)?;
        if stored == Some(newest) {
            return Ok(());
        }
        if let Some(version) = stored.filter(|version| *version > newest) {
            return Err(ApplyError::new(
                ApplyErrorKind::Other,
                format!(
                    "{}'s schema keylane is of version {version}, this program knows version {newest}: run the newer program",
                    self.whose
                ),
            ));
        }
        let from = usize::try_from(stored.unwrap_or(0)).unwrap_or(0);
        for version in self.versions.iter().skip(from) {
            transaction.batch_execute(version).await.map_err(at_rim)?;
        }
        let store = match stored {
            Some(_) => format!("UPDATE keylane.{} SET version = $1", self.meta),
            None => format!("INSERT INTO keylane.{} (version) VALUES ($1)", self.meta),
        };
        transaction
            .execute(&store, &[&newest])
            .await
            .map_err(at_rim)?;
        transaction.commit().await.map_err(at_rim)
    }

    /// Whether the tables were created. Asks the catalog itself: `to_regclass` may answer from what the session remembers of before it waited for the lock.
    pub(super) async fn are_there(&self, client: &Client) -> Result<bool, tokio_postgres::Error> {
        let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                                  WHERE n.nspname = 'keylane' AND c.relname = $1)";
        Ok(client.query_one(sql, &[&self.meta]).await?.get(0))
    }

    async fn stored_version(&self, client: &Client) -> Result<Option<i32>, tokio_postgres::Error> {
        if !self.are_there(client).await? {
            return Ok(None);
        }
        let sql = format!("SELECT max(version) FROM keylane.{}", self.meta);
        let row = client.query_opt(&sql, &[]).await?;
        Ok(row.and_then(|row| row.get(0)))
    }
}
