//! A service of choreographed sagas in a SQLite file: its steps' transactions hold the barrier, the effect and the event that tells of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use keylane_core::model::{Offset, TopicPartition};
use keylane_core::saga::Outcome;
use rusqlite::{Connection, params};

use super::barrier;
use super::file::{File, bounded};
use crate::outbox::Outbox;
use crate::participant::barrier::Telling;
use crate::participant::choreography::unclear;
use crate::participant::{Hear, Places, Reaction, SagaEvent, SqliteHandler};

/// How far the service has heard the topics of an embedded log.
const HEARD: &str = "CREATE TABLE IF NOT EXISTS keylane_heard (
  topic     TEXT NOT NULL,
  partition INTEGER NOT NULL,
  next      INTEGER NOT NULL,
  PRIMARY KEY (topic, partition)
) WITHOUT ROWID;";

/// A service whose steps are set going, and undone, by events. Events are heard one after another.
pub struct SqliteChoreography {
    file: File,
    own: Arc<Own>,
}

struct Own {
    source: String,
    outbox: Outbox,
    reactions: Vec<Reaction<SqliteHandler>>,
}

impl SqliteChoreography {
    /// A service in this file that tells its events as `source`. The tables of the barrier and of the outbox are made if they are not there.
    ///
    /// # Errors
    /// In words, if the file cannot be opened or written.
    pub async fn open(
        path: impl AsRef<Path>,
        source: impl Into<String>,
        reactions: Vec<Reaction<SqliteHandler>>,
    ) -> Result<Self, String> {
        let outbox = Outbox::default();
        let tables = [super::carry::TABLE, &outbox.sqlite_sql(), HEARD].concat();
        let own = Own {
            source: source.into(),
            outbox,
            reactions,
        };
        Ok(SqliteChoreography {
            file: File::open(path.as_ref(), tables).await?,
            own: Arc::new(own),
        })
    }
}

#[async_trait]
impl Hear for SqliteChoreography {
    async fn hear(&self, event: &SagaEvent) -> Result<(), String> {
        let (own, event) = (self.own.clone(), event.clone());
        let heard = self.file.call(move |file| own.hear(file, &event));
        heard.await?
    }
}

impl Own {
    fn hear(&self, file: &Connection, event: &SagaEvent) -> Result<(), String> {
        for own in &self.reactions {
            let Some(asked) = own.asked(event) else {
                continue;
            };
            let tell =
                |outcome: &Outcome| own.event(event, asked.command.op, outcome, &self.source);
            let telling = Telling {
                outbox: &self.outbox,
                tell: &tell,
            };
            let carried = barrier::carry_out(file, &asked.command, asked.handler, Some(&telling));
            if let Outcome::Unclear(why) = bounded(carried) {
                return Err(unclear(&asked.command, &why));
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Places for SqliteChoreography {
    async fn places(&self) -> Result<BTreeMap<TopicPartition, Offset>, String> {
        let read = |file: &Connection| -> rusqlite::Result<_> {
            let mut statement =
                file.prepare_cached("SELECT topic, partition, next FROM keylane_heard")?;
            let rows = statement.query_map([], |row| {
                let topic: String = row.get(0)?;
                Ok((
                    TopicPartition::new(topic.as_str(), row.get(1)?),
                    Offset(row.get(2)?),
                ))
            })?;
            rows.collect()
        };
        let places: rusqlite::Result<_> = self.file.call(read).await?;
        places.map_err(|error| error.to_string())
    }

    async fn keep(&self, partition: &TopicPartition, next: Offset) -> Result<(), String> {
        let partition = partition.clone();
        let keep = move |file: &Connection| {
            file.execute(
                "INSERT INTO keylane_heard (topic, partition, next) VALUES (?1, ?2, ?3) ON CONFLICT (topic, partition) DO UPDATE SET next = excluded.next",
                params![&*partition.topic, partition.partition, next.0],
            )
        };
        let kept = self.file.call(keep).await?;
        kept.map(drop).map_err(|error| error.to_string())
    }
}
