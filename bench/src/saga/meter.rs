//! What the parts have used, between two moments.

use super::serving::Participants;
use crate::report::{Result, float, per};
use keylane_parts::{Kafka, Postgres, cpu_with_ended_children, usage_of};
use std::time::Instant;
use tokio_postgres::{Client, NoTls};

/// Transactions that wrote something, bytes of the write-ahead log and its syncs, of the whole server.
const COUNTED: &str = "select pg_snapshot_xmax(pg_current_snapshot())::text::float8,
    (pg_current_wal_insert_lsn() - '0/0')::float8, (select wal_sync::float8 from pg_stat_wal)";

/// A connection by which is asked what a server did; what it costs itself is not counted.
pub(crate) struct Meter {
    pub(crate) client: Client,
    backend: u32,
}

impl Meter {
    /// To be called within a runtime, which carries the connection.
    pub(crate) async fn connect(url: &str) -> Result<Self> {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        tokio::spawn(connection);
        // What is asked again and again is planned while the tables are empty.
        client.batch_execute("set enable_seqscan = off").await?;
        let backend = client.query_one("select pg_backend_pid()", &[]).await?;
        let backend = u32::try_from(backend.get::<_, i32>(0))?;
        Ok(Meter { client, backend })
    }

    /// What a server and its processes have used, but for this connection's.
    fn cpu_ms(&self, server: &Postgres) -> u64 {
        let all = server.pid().and_then(cpu_with_ended_children);
        let own = usage_of(self.backend).unwrap_or_default().cpu_ms;
        all.unwrap_or_default().saturating_sub(own)
    }
}

/// What is measured together.
pub(crate) struct Parts<'a> {
    pub(crate) store: &'a Postgres,
    /// The participants' database.
    pub(crate) shop: &'a Postgres,
    pub(crate) kafka: &'a Kafka,
}

/// What was used by a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    at: Instant,
    ended: u64,
    /// Of whom drives, of its database, of the participants, of their database, of the broker, of who begins sagas; milliseconds.
    cpu_ms: [u64; 6],
    counted: [f64; 3],
}

/// The processor time that is reported, by what used it.
const USERS: [&str; 6] = [
    "cpu",
    "postgres_cpu",
    "participants_cpu",
    "participants_postgres_cpu",
    "kafka_cpu",
    "load_cpu",
];
const COUNTERS: [&str; 3] = ["transactions", "wal_bytes", "wal_syncs"];

impl Sample {
    /// With another number of sagas that have ended since the first.
    pub(crate) fn with(self, ended: u64) -> Self {
        Sample { ended, ..self }
    }

    /// Of a driver's process, by its id.
    pub(crate) async fn take(
        parts: &Parts<'_>,
        meter: &Meter,
        driver: u32,
        participants: Option<&Participants>,
        ended: u64,
    ) -> Result<Self> {
        let row = meter.client.query_one(COUNTED, &[]).await?;
        let of = |pid| usage_of(pid).unwrap_or_default().cpu_ms;
        let shop = parts.shop.pid().and_then(cpu_with_ended_children);
        Ok(Sample {
            at: Instant::now(),
            ended,
            cpu_ms: [
                of(driver),
                meter.cpu_ms(parts.store),
                participants.map_or(0, |it| it.usage().cpu_ms),
                shop.unwrap_or_default(),
                parts.kafka.pids().into_iter().map(of).sum(),
                of(std::process::id()),
            ],
            counted: [row.get(0), row.get(1), row.get(2)],
        })
    }

    /// What a saga took between two moments: names and figures. The first is sagas a second.
    pub(crate) fn until(&self, later: &Sample) -> Vec<(String, f64)> {
        let sagas = float(later.ended - self.ended);
        let seconds = (later.at - self.at).as_secs_f64();
        let mut figures = vec![("sagas_per_s".to_owned(), per(sagas, seconds))];
        for (user, (before, after)) in USERS.iter().zip(self.cpu_ms.iter().zip(&later.cpu_ms)) {
            let used = float(after.saturating_sub(*before));
            figures.push((format!("{user}_ms_per_saga"), per(used, sagas)));
        }
        for (name, (before, after)) in COUNTERS.iter().zip(self.counted.iter().zip(&later.counted))
        {
            figures.push((format!("{name}_per_saga"), per(after - before, sagas)));
        }
        figures
    }
}
