//! Keylane's own tables at the replica, in schema `keylane`, and their version.
//!
//! `progress` holds a row for each lane and one (lane −1) for each partition as a whole. Its rows are updated in every transaction, so pages keep room
//! for the new versions (fillfactor) and nothing but the primary key is indexed: each update stays in its page.

use keylane_core::apply::ApplyError;
use keylane_core::error::ApplyErrorKind;
use tokio_postgres::Client;

use super::error::apply_error;

/// The version of the tables that this program writes.
const VERSION: i32 = 2;

/// Any number, the same for every version: who creates the tables.
const ADVISORY_LOCK: i64 = 0x6b65_796c_616e_6501;

/// The tables of version 1.
const CREATE: &str = r#"
CREATE SCHEMA IF NOT EXISTS keylane;
CREATE TABLE IF NOT EXISTS keylane.meta (version integer NOT NULL);
CREATE TABLE IF NOT EXISTS keylane.progress (
    pipeline text COLLATE "C" NOT NULL,
    topic text COLLATE "C" NOT NULL,
    partition integer NOT NULL,
    lane integer NOT NULL,
    next_offset bigint NOT NULL DEFAULT 0,
    commit_position bigint NOT NULL DEFAULT 0,
    ordinal bigint NOT NULL DEFAULT 0,
    owner_epoch bigint NOT NULL DEFAULT 0,
    applied_at timestamptz NOT NULL DEFAULT now(),
    accept_epoch bigint,
    accept_commit bigint,
    accept_ordinal bigint,
    topic_id text,
    partitions integer,
    lanes integer,
    PRIMARY KEY (pipeline, topic, partition, lane)
) WITH (fillfactor = 50);
CREATE TABLE IF NOT EXISTS keylane.parked (
    id bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    pipeline text COLLATE "C" NOT NULL,
    topic text COLLATE "C" NOT NULL,
    partition integer NOT NULL,
    lane integer NOT NULL,
    record_offset bigint NOT NULL,
    key bytea NOT NULL,
    table_name text,
    value bytea NOT NULL,
    header text,
    code text NOT NULL,
    error text NOT NULL,
    attempts integer NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    redrive boolean NOT NULL DEFAULT false,
    PRIMARY KEY (pipeline, topic, partition, lane, record_offset)
);
COMMENT ON SCHEMA keylane IS 'How far Keylane has applied what it reads (progress) and what it could not apply (parked). Dropping it loses both.';
"#;

/// What version 2 has beyond version 1.
const FROM_1_TO_2: &str = r#"
CREATE TABLE keylane.pipelines (
    pipeline text COLLATE "C" PRIMARY KEY,
    threads text NOT NULL,
    configured_threads text NOT NULL
);
"#;

/// Asks the catalog itself: `to_regclass` may answer from what the session remembers of before it waited for the lock.
const THERE: &str = "SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                                    WHERE n.nspname = 'keylane' AND c.relname = 'meta')";

/// Creates the tables where they are missing.
///
/// # Errors
/// `Denied` if the user may not create them, `Other` if a later version of the program wrote them.
pub(super) async fn prepare(client: &mut Client) -> Result<(), ApplyError> {
    const DOING: &str = "creating Keylane's own tables (schema keylane) in the replica";
    let at_rim = |error: tokio_postgres::Error| apply_error(&error, DOING);
    if stored_version(client).await.map_err(at_rim)? == Some(VERSION) {
        return Ok(());
    }
    let transaction = client.transaction().await.map_err(at_rim)?;
    transaction
        .execute("SELECT pg_advisory_xact_lock($1)", &[&ADVISORY_LOCK])
        .await
        .map_err(at_rim)?;
    let stored = stored_version(transaction.client()).await.map_err(at_rim)?;
    let store = match stored {
        Some(VERSION) => return Ok(()),
        Some(version) if version > VERSION => {
            return Err(ApplyError::new(
                ApplyErrorKind::Other,
                format!(
                    "the replica's schema keylane is of version {version}, this program knows version {VERSION}: run the newer program"
                ),
            ));
        }
        Some(_) => "UPDATE keylane.meta SET version = $1",
        None => {
            transaction.batch_execute(CREATE).await.map_err(at_rim)?;
            "INSERT INTO keylane.meta (version) VALUES ($1)"
        }
    };
    transaction
        .batch_execute(FROM_1_TO_2)
        .await
        .map_err(at_rim)?;
    transaction
        .execute(store, &[&VERSION])
        .await
        .map_err(at_rim)?;
    transaction.commit().await.map_err(at_rim)
}

/// Whether the tables were created.
pub(super) async fn are_there(client: &Client) -> Result<bool, tokio_postgres::Error> {
    Ok(client.query_one(THERE, &[]).await?.get(0))
}

async fn stored_version(client: &Client) -> Result<Option<i32>, tokio_postgres::Error> {
    if !are_there(client).await? {
        return Ok(None);
    }
    let row = client
        .query_opt("SELECT max(version) FROM keylane.meta", &[])
        .await?;
    Ok(row.and_then(|row| row.get(0)))
}
