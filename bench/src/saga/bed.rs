//! The parts that sagas are measured on, and one measurement: a fresh database and fresh processes each.

use super::Terms;
use super::cell::{Cell, PARTICIPANTS, Way, Work};
use super::dbos::{Dbos, Load};
use super::load::{ClosedLoop, OpenLoop, Watch, begin_many};
use super::meter::{Meter, Parts, Sample};
use super::participant::{EFFECTS, topic_of};
use super::serving::{Orchestrator, Participants, REPLIES};
use super::verify::{Effects, effect_of, verify};
use crate::report::{Report, Result, float, per};
use keylane::kafka::{KafkaLog, KafkaSettings};
use keylane_core::publish::{Log as _, TopicSpec};
use keylane_parts::{Kafka, Postgres, PostgresOptions, PostgresVersion};
use std::cell::Cell as Counter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Names and figures, in the order in which they are told.
pub(crate) type Figures = Vec<(String, f64)>;

const PARTITIONS: u32 = 8;
const FIRST_LOOK: Duration = Duration::from_millis(50);
/// The first saga's end: a group waits that long, and more, for a member that died.
const FIRST_WITHIN: Duration = Duration::from_secs(60);

/// Running parts.
pub(crate) struct Bed {
    keylane: PathBuf,
    kafka: Kafka,
    /// Of the sagas.
    store: Postgres,
    /// Of the participants.
    shop: Postgres,
    databases: Counter<u64>,
}

impl Bed {
    pub(crate) fn start(keylane: &Path, report: &mut Report) -> Result<Self> {
        let postgres = || {
            let options = PostgresOptions::new(PostgresVersion::V15);
            Postgres::start(
                options
                    .set("track_commit_timestamp", "on")
                    .set("max_wal_size", "4GB"),
            )
        };
        let bed = Bed {
            keylane: keylane.to_owned(),
            kafka: Kafka::start()?,
            store: postgres()?,
            shop: postgres()?,
            databases: Counter::new(0),
        };
        report.condition("kafka", "4.3.0, one KRaft node, -Xmx512m");
        let ask = |sql: &str| bed.store.psql("postgres", sql);
        report.condition("postgres", ask("show server_version")?);
        let settings = "select string_agg(name || '=' || setting, ' ') from pg_settings
             where name in ('fsync', 'synchronous_commit', 'full_page_writes', 'shared_buffers', 'max_wal_size')";
        report.condition("postgres_settings", ask(settings)?);
        let topics: Vec<String> = PARTICIPANTS.iter().map(|it| topic_of(it)).collect();
        let spec = |name: &str| TopicSpec {
            name: name.into(),
            partitions: PARTITIONS,
            replication_factor: 1,
            settings: Vec::new(),
        };
        let mut specs: Vec<TopicSpec> = topics.iter().map(|it| spec(it)).collect();
        specs.push(spec(REPLIES));
        report.condition("partitions", PARTITIONS);
        let log = KafkaLog::open(KafkaSettings::new(bed.kafka.bootstrap()))?;
        runtime()?.block_on(log.ensure_topics(&specs))?;
        Ok(bed)
    }

    fn parts(&self) -> Parts<'_> {
        Parts {
            store: &self.store,
            shop: &self.shop,
            kafka: &self.kafka,
        }
    }

    /// A database that nobody has used, on both servers; its name.
    fn fresh(&self) -> Result<String> {
        let number = self.databases.replace(self.databases.get() + 1);
        let name = format!("sagas_{number}");
        self.store.create_database(&name)?;
        self.shop.create_database(&name)?;
        self.shop.psql(&name, EFFECTS)?;
        for server in [&self.store, &self.shop] {
            server.psql("postgres", "checkpoint")?;
        }
        Ok(name)
    }

    /// The processes of a cell, on databases of their own.
    fn serve(&self, cell: Cell) -> Result<Served> {
        let database = self.fresh()?;
        let bootstrap = self.kafka.bootstrap();
        let shop = (cell.work == Work::Barrier).then(|| self.shop.url(&database));
        let participants = Participants::start(cell, &bootstrap, shop.as_deref())?;
        let store = self.store.url(&database);
        let orchestrator =
            Orchestrator::start(&self.keylane, cell, &store, &bootstrap, &participants)?;
        Ok(Served {
            database,
            participants,
            orchestrator,
        })
    }

    /// One cell: the most, then half of it.
    pub(crate) fn measure(&self, cell: Cell, terms: &Terms) -> Result<Figures> {
        eprintln!("  {} …", cell.name());
        let served = self.serve(cell)?;
        let runtime = runtime()?;
        let measured = runtime.block_on(async {
            let meter = Arc::new(Meter::connect(&self.store.url(&served.database)).await?);
            let mut figures = self.closed(&served, &meter, terms, "closed").await?;
            let most = figures.first().map_or(0.0, |(_, rate)| *rate);
            let open = OpenLoop {
                rate: ((most / 2.0) as u64).max(1),
                lasts: terms.lasts,
            };
            let delays = open.run(served.orchestrator.address, &meter).await?;
            figures.push(("half_load_sagas_per_s".to_owned(), float(open.rate)));
            for (name, share) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
                figures.push((format!("half_load_{name}_ms"), delays.at_ms(share)));
            }
            figures.push(("half_load_late_ms_max".to_owned(), delays.late_ms_max));
            figures.push(("resident_mb".to_owned(), served.orchestrator.resident_mb()));
            Result::Ok(figures)
        });
        let tail = served.orchestrator.log_tail();
        let figures = measured.map_err(|error| format!("{}: {error}\n{tail}", cell.name()))?;
        drop(runtime);
        self.verify(cell, served)?;
        Ok(figures)
    }

    /// As many as end, so many at a time.
    async fn closed(
        &self,
        served: &Served,
        meter: &Arc<Meter>,
        terms: &Terms,
        name: &str,
    ) -> Result<Figures> {
        let watch = Watch::new();
        let looking = tokio::spawn({
            let (watch, meter) = (watch.clone(), meter.clone());
            async move { watch.look(&meter).await }
        });
        let driver = served.orchestrator.pid();
        let (parts, participants) = (self.parts(), Some(&served.participants));
        let take = || Sample::take(&parts, meter, driver, participants, watch.ended());
        let address = served.orchestrator.address;
        let mut load = ClosedLoop::start(address, &watch, terms.in_flight, name);
        // Until groups have met and connections are made.
        let first = Instant::now();
        while watch.ended() == 0 {
            load.go_on(FIRST_LOOK).await?;
            if first.elapsed() > FIRST_WITHIN {
                return Err("no saga ends".into());
            }
        }
        load.go_on(terms.warm_up).await?;
        let from = take().await?;
        load.go_on(terms.lasts).await?;
        let figures = from.until(&take().await?);
        load.end().await?;
        looking.abort();
        Ok(figures)
    }

    /// Whether every effect is as its saga ended.
    fn verify(&self, cell: Cell, served: Served) -> Result<()> {
        served.orchestrator.stop()?;
        let mut effects = served.participants.end()?;
        if cell.work == Work::Barrier {
            let sql = "select saga, step, count(*) filter (where change > 0), count(*) filter (where change < 0) from effects group by saga, step";
            let rows = self.shop.psql(&served.database, sql)?;
            effects = rows.lines().map(effect_of).collect::<Result<Effects>>()?;
        }
        let ended = "select id, state from keylane.saga_history";
        let ended = self.store.psql(&served.database, ended)?;
        verify(cell, &effects, &ended)
    }

    /// The peer: the most, then half of it, each in a process and a database of its own.
    pub(crate) fn measure_peer(&self, dbos: &Dbos, terms: &Terms) -> Result<Figures> {
        eprintln!("  dbos …");
        let mut load = Load {
            in_flight: terms.in_flight,
            warm_up_s: terms.warm_up.as_secs(),
            seconds: terms.lasts.as_secs(),
            rate: 0,
        };
        runtime()?.block_on(async {
            let mut figures = dbos.run(&self.parts(), &self.fresh()?, load).await?;
            let of = |figures: &Figures, name: &str| {
                let found = figures.iter().find(|(it, _)| it == name);
                found.map_or(f64::NAN, |(_, value)| *value)
            };
            figures.retain(|(name, _)| !name.starts_with('p') || name.starts_with("postgres"));
            load.rate = ((of(&figures, "sagas_per_s") / 2.0) as u64).max(1);
            let half = dbos.run(&self.parts(), &self.fresh()?, load).await?;
            figures.push(("half_load_sagas_per_s".to_owned(), float(load.rate)));
            for name in ["p50_ms", "p99_ms", "load_late_ms_max"] {
                figures.push((format!("half_load_{name}"), of(&half, name)));
            }
            Ok(figures)
        })
    }

    /// The same load without and beside sagas that wait.
    pub(crate) fn waiting(&self, terms: &Terms) -> Result<Figures> {
        let cell = Cell {
            way: Way::Http,
            work: Work::Empty,
        };
        eprintln!("  waiting …");
        let served = self.serve(cell)?;
        let address = served.orchestrator.address;
        let mut figures = Figures::new();
        let mut put = |name: &str, value: f64| figures.push((name.to_owned(), value));
        runtime()?.block_on(async {
            let meter = Arc::new(Meter::connect(&self.store.url(&served.database)).await?);
            let without = self.closed(&served, &meter, terms, "without").await?;
            let before_mb = served.orchestrator.resident_mb();
            begin_many(address, "wait", terms.waiting).await?;
            put("begun_resident_mb", served.orchestrator.resident_mb());
            let beside = self.closed(&served, &meter, terms, "beside").await?;
            let after_mb = served.orchestrator.resident_mb();
            let sql = "select count(*) from keylane.saga";
            let waiting: i64 = meter.client.query_one(sql, &[]).await?.get(0);
            if waiting != terms.waiting as i64 {
                return Err(format!("{waiting} sagas wait").into());
            }
            put("without_resident_mb", before_mb);
            put("beside_resident_mb", after_mb);
            put("resident_ratio", per(after_mb, before_mb));
            for ((name, without), (_, beside)) in without.iter().zip(&beside) {
                put(&format!("without_{name}"), *without);
                put(&format!("beside_{name}"), *beside);
            }
            Result::Ok(())
        })?;
        served.orchestrator.stop()?;
        Ok(figures)
    }
}

/// The processes of one measurement.
struct Served {
    database: String,
    participants: Participants,
    orchestrator: Orchestrator,
}

/// One thread for what begins sagas and looks for their ends: the cores are for what is measured.
fn runtime() -> Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    Ok(builder.worker_threads(1).enable_all().build()?)
}
