//! Marks in a pipeline's origin.

use keylane::{postgres, sqlite};
use keylane_core::model::TableName;
use tokio_postgres::Client;

use crate::config;
use crate::exit_code::{Exit, Failure};

/// Who writes marks into an origin, over one connection for as long as it lasts.
pub struct Marker {
    origin: Option<config::Origin>,
    client: Option<Client>,
}

impl Marker {
    /// Connects with the first mark.
    pub(super) fn new(origin: Option<config::Origin>) -> Self {
        Marker {
            origin,
            client: None,
        }
    }

    /// Writes a mark. Everything committed at the origin before the call stands below the place it returns.
    ///
    /// # Errors
    /// If the origin cannot be written to.
    pub async fn mark(&mut self) -> Result<u64, Failure> {
        match &self.origin {
            None => Err(Failure::new(
                Exit::Error,
                "this pipeline applies topics of another tool: there is no origin to mark",
            )),
            Some(config::Origin::Sqlite { path }) => {
                let path = path.clone();
                let emitted =
                    tokio::task::spawn_blocking(move || sqlite::capture::emit_settle_marker(&path))
                        .await;
                emitted
                    .map_err(|error| took_no_marker(&error))?
                    .map_err(|error| took_no_marker(&error))
            }
            Some(config::Origin::Postgres(origin)) => {
                let client = connected(&mut self.client, origin).await?;
                postgres::capture::emit_settle_marker(client)
                    .await
                    .map_err(|error| took_no_marker(&error))
            }
        }
    }

    /// Returns once the origin's readers see everything of a table that the log holds.
    ///
    /// # Errors
    /// If the origin cannot be written to.
    pub async fn level(&mut self, table: &TableName) -> Result<(), Failure> {
        // A file's readers see a commit with its triggers' records or neither.
        let Some(config::Origin::Postgres(origin)) = &self.origin else {
            return Ok(());
        };
        let client = connected(&mut self.client, origin).await?;
        let marked = postgres::capture::emit_settle_marker(client).await;
        marked.map_err(|error| took_no_marker(&error))?;
        let ended = postgres::reconcile::writers_end(client, table).await;
        ended.map_err(|error| took_no_marker(&error))
    }
}

/// The connection, made anew if it is lost. Commits of marks are waited for as long as anybody's, so that those before them were waited for, too.
async fn connected<'a>(
    client: &'a mut Option<Client>,
    origin: &config::PostgresOrigin,
) -> Result<&'a Client, Failure> {
    let kept = client.take().filter(|client| !client.is_closed());
    let open = match kept {
        Some(open) => open,
        None => {
            let options = postgres::connect::ConnectOptions {
                settings: vec![("synchronous_commit", "remote_apply".to_owned())],
                ..postgres::connect::ConnectOptions::default()
            };
            let url = origin.url.expose();
            let connected = postgres::connect::connect(url, "keylane settle", &options).await;
            connected.map_err(|error| took_no_marker(&error))?
        }
    };
    Ok(client.insert(open))
}

fn took_no_marker(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(
        Exit::Unreachable,
        format!("the origin took no marker: {error}"),
    )
}
