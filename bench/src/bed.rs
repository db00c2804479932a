//! The bed that everything is measured on: one broker, an origin, a replica, all on loopback with fsync on.

use crate::report::{Report, Result};
use keylane_parts::{Kafka, Postgres, PostgresOptions, PostgresVersion, wait_until};
use std::time::{Duration, Instant};

/// The database on both sides.
pub(crate) const DATABASE: &str = "postgres";
/// The database at the replica that Debezium writes to.
pub(crate) const PEER_DATABASE: &str = "peer";
/// The topics' prefix and the pipeline's name.
pub(crate) const PIPELINE: &str = "bench";
/// How long any load may take to get through.
pub(crate) const PATIENCE: Duration = Duration::from_secs(900);

const TABLES: &str = "
    create table if not exists orders(id bigint primary key, customer int not null, status text not null, total numeric(12,2) not null, note text,
        version int not null);
    create table if not exists accounts(aid int primary key, bid int not null, abalance int not null, filler char(84));";

/// Running parts.
#[derive(Debug)]
pub(crate) struct Bed {
    pub(crate) kafka: Kafka,
    pub(crate) origin: Postgres,
    pub(crate) replica: Postgres,
}

impl Bed {
    /// Starts the parts, with the tables `orders` and `accounts` on both sides.
    pub(crate) fn start(report: &mut Report) -> Result<Self> {
        let postgres = || {
            let options = PostgresOptions::new(PostgresVersion::V15);
            Postgres::start(
                options
                    .set("track_commit_timestamp", "on")
                    .set("max_wal_size", "4GB")
                    .set("full_page_writes", "on"),
            )
        };
        let bed = Bed {
            kafka: Kafka::start()?,
            origin: postgres()?,
            replica: postgres()?,
        };
        report.condition("kafka", "4.3.0, one KRaft node, -Xmx512m");
        let version = bed.origin.psql(DATABASE, "show server_version")?;
        report.condition("postgres", version);
        let settings = bed.replica.psql(
            DATABASE,
            "select string_agg(name || '=' || setting, ' ') from pg_settings
             where name in ('fsync', 'synchronous_commit', 'full_page_writes', 'shared_buffers', 'max_wal_size')",
        )?;
        report.condition("postgres_settings", settings);
        bed.replica.create_database(PEER_DATABASE)?;
        bed.everywhere(TABLES)?;
        Ok(bed)
    }

    /// Runs `sql` at the origin and in both databases of the replica.
    pub(crate) fn everywhere(&self, sql: &str) -> Result<()> {
        self.origin.psql(DATABASE, sql)?;
        self.replica.psql(DATABASE, sql)?;
        self.replica.psql(PEER_DATABASE, sql)?;
        Ok(())
    }

    /// Runs `sql` at the origin; says how long it took.
    pub(crate) fn load(&self, sql: &str) -> Result<Duration> {
        let begun = Instant::now();
        self.origin.psql(DATABASE, sql)?;
        Ok(begun.elapsed())
    }

    /// Waits until `orders` is the same on both sides, by count and sum of versions, and then compares both tables as a whole.
    pub(crate) fn await_equal(&self, database: &str) -> Result<()> {
        let sum = "select count(*), coalesce(sum(version), 0) from orders";
        let goal = self.origin.psql(DATABASE, sum)?;
        wait_until("the replica to hold what the origin has", PATIENCE, || {
            Ok(self.replica.psql(database, sum)? == goal)
        })?;
        let print = "select md5(coalesce(string_agg(t::text, ',' order by id), '')) from orders t";
        if self.origin.psql(DATABASE, print)? != self.replica.psql(database, print)? {
            return Err("the replica's orders differ from the origin's".into());
        }
        Ok(())
    }

    /// The seconds between the first and the last commit at the replica after `since_us`, by its own commit times of what `orders` holds.
    pub(crate) fn seconds_of_commits(&self, database: &str, since_us: i64) -> Result<f64> {
        let sql = format!(
            "select extract(epoch from max(at) - min(at)) from (select distinct pg_xact_commit_timestamp(xmin) at from orders) t
             where at > to_timestamp({since_us} / 1e6)"
        );
        Ok(self.replica.psql(database, &sql)?.trim().parse()?)
    }

    /// The replica's clock, microseconds since 1970.
    pub(crate) fn now_us(&self) -> Result<i64> {
        let sql = "select (extract(epoch from clock_timestamp()) * 1e6)::bigint";
        Ok(self.replica.psql(DATABASE, sql)?.trim().parse()?)
    }
}
