//! Commit to commit: an open loop of transactions at a fixed rate; both databases keep the commit times themselves (`track_commit_timestamp`).

use crate::Sizes;
use crate::bed::{Bed, DATABASE, PATIENCE, PEER_DATABASE};
use crate::load;
use crate::peer::{self, Connectors, Tuning};
use crate::report::{Report, Result, float, per};
use crate::road;
use crate::running::{Half, RoadOptions};
use keylane_parts::{Postgres, wait_until};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio_postgres::NoTls;

/// Rows that the load's updates choose from.
const ACCOUNTS: u64 = 10_000;
const CONNECTIONS: u64 = 8;
/// What the first seconds bring is not counted.
const WARM_UP_SHARE: f64 = 0.15;
const TRANSACTION: &str = "with updated as (update accounts set abalance = abalance + 1 where aid = any($2) returning aid)
    insert into orders select $1, count(*)::int, 'new', 12.5, 'measured', 1 from updated";

/// A load: `rate` changes a second for `seconds`, `per_transaction` of them in each.
#[derive(Clone, Copy, Debug)]
struct OpenLoop {
    rate: u64,
    seconds: u64,
    per_transaction: u64,
    first_id: i64,
}

pub(crate) fn run(keylane: &Path, sizes: &Sizes, report: &mut Report) -> Result<()> {
    let seconds = sizes.seconds.unwrap_or(30);
    let changes = sizes.changes.unwrap_or(200_000);
    report.condition("seconds", seconds);
    report.condition("threads", sizes.threads);
    report.condition("consistency", sizes.consistency.to_string());
    let bed = Bed::start(report)?;
    bed.everywhere(&load::base(load::base_rows(changes)))?;
    bed.load(&format!(
        "insert into accounts select i, 1, 0, '' from generate_series(1, {ACCOUNTS}) i"
    ))?;
    bed.replica.psql(DATABASE, "truncate orders")?;
    let prepared = road::prepared(keylane, RoadOptions::of(sizes), &bed)?;
    let loops = match sizes.rate {
        Some(rate) => vec![(format!("at_{rate}_per_s"), rate)],
        None => {
            bed.load(&load::inserts_updates_deletes(
                load::base_rows(changes),
                changes,
                10,
            ))?;
            let drained = road::drain(&bed, &prepared, changes)?;
            report.figure("keylane_drain_changes_per_s", drained.changes_per_s);
            let half = (drained.changes_per_s / 2.0) as u64;
            vec![
                ("at_500_per_s".to_owned(), 500),
                ("at_half_load".to_owned(), half),
            ]
        }
    };
    let mut both = prepared.start(Half::Both)?;
    both.await_streaming()?;
    let mut first_id = 1_000_000_000;
    for (name, rate) in &loops {
        let open_loop = OpenLoop::new(*rate, seconds, first_id);
        first_id += 1_000_000_000;
        let late_ms = open_loop.run(&bed)?;
        let delays = open_loop.delays(&bed, DATABASE)?;
        tell(report, &format!("keylane_{name}"), *rate, late_ms, &delays);
    }
    let usage = both.usage();
    report.figure(
        "keylane_resident_peak_mb",
        float(usage.resident_bytes_peak) / 1e6,
    );
    both.stop()?;
    if sizes.peer.is_some() {
        through_debezium(&bed, seconds, first_id, sizes, report)?;
    }
    Ok(())
}

fn through_debezium(
    bed: &Bed,
    seconds: u64,
    first_id: i64,
    sizes: &Sizes,
    report: &mut Report,
) -> Result<()> {
    let tables = ["public.orders", "public.accounts"];
    let options = peer::options(bed, &tables, Connectors::Both, Tuning::Fast, report)?;
    let primer = "update orders set note = note where id = (select max(id) from orders); update accounts set abalance = abalance where aid = 1";
    let (mut debezium, _) = peer::start_primed(bed, options, primer, 2)?;
    let rate = sizes.rate.unwrap_or(500);
    let open_loop = OpenLoop::new(rate, seconds, first_id);
    let late_ms = open_loop.run(bed)?;
    let delays = open_loop.delays(bed, PEER_DATABASE)?;
    tell(
        report,
        &format!("debezium_at_{rate}_per_s"),
        rate,
        late_ms,
        &delays,
    );
    Ok(debezium.stop()?)
}

fn tell(report: &mut Report, name: &str, rate: u64, late_ms: f64, delays: &[i64]) {
    let at = |share: f64| {
        let index = (float(delays.len() as u64) * share) as usize;
        let us = delays.get(index.min(delays.len().saturating_sub(1)));
        us.map_or(f64::NAN, |us| *us as f64 / 1e3)
    };
    report.figure(&format!("{name}_rate_changes_per_s"), float(rate));
    report.figure(&format!("{name}_p50_ms"), at(0.5));
    report.figure(&format!("{name}_p99_ms"), at(0.99));
    report.figure(&format!("{name}_p999_ms"), at(0.999));
    report.figure(&format!("{name}_max_ms"), at(1.0));
    report.figure(&format!("{name}_load_late_ms_max"), late_ms);
    report.figure(
        &format!("{name}_measured_transactions"),
        per(float(delays.len() as u64), 1.0),
    );
}

impl OpenLoop {
    fn new(rate: u64, seconds: u64, first_id: i64) -> Self {
        OpenLoop {
            rate,
            seconds,
            per_transaction: if rate <= 1_000 { 2 } else { 10 },
            first_id,
        }
    }

    fn transactions(&self) -> u64 {
        self.rate * self.seconds / self.per_transaction
    }

    /// Sends each transaction when it is due, whatever became of those before it. Says by how many milliseconds the latest was late: the load then was not
    /// what it should have been.
    fn run(&self, bed: &Bed) -> Result<f64> {
        let url = bed.origin.url(DATABASE);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let late_us = Arc::new(AtomicU64::new(0));
        runtime.block_on(async {
            let begin = tokio::time::Instant::now() + Duration::from_millis(500);
            let mut tasks = tokio::task::JoinSet::new();
            for lane in 0..CONNECTIONS {
                let (url, late_us, open_loop) = (url.clone(), late_us.clone(), *self);
                tasks.spawn(async move { open_loop.connection(&url, lane, begin, &late_us).await });
            }
            while let Some(done) = tasks.join_next().await {
                done??;
            }
            Ok(float(late_us.load(Ordering::Relaxed)) / 1e3)
        })
    }

    async fn connection(
        &self,
        url: &str,
        lane: u64,
        begin: tokio::time::Instant,
        late_us: &AtomicU64,
    ) -> Result<()> {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        let driving = tokio::spawn(connection);
        let transaction = client.prepare(TRANSACTION).await?;
        let mut number = lane;
        while number < self.transactions() {
            let us = number * 1_000_000 * self.per_transaction / self.rate;
            let due = begin + Duration::from_micros(us);
            tokio::time::sleep_until(due).await;
            late_us.fetch_max(u64::try_from(due.elapsed().as_micros())?, Ordering::Relaxed);
            let id = self.first_id + i64::try_from(number)?;
            let accounts: Vec<i32> = (0..self.per_transaction - 1)
                .map(|step| i32::try_from(1 + (number * 7_919 + step * 104_729) % ACCOUNTS))
                .collect::<std::result::Result<_, _>>()?;
            client.execute(&transaction, &[&id, &accounts]).await?;
            number += CONNECTIONS;
        }
        drop(client);
        driving.await??;
        Ok(())
    }

    /// Microseconds between the two commits of each transaction's inserted row, ascending, without the warm-up.
    fn delays(&self, bed: &Bed, database: &str) -> Result<Vec<i64>> {
        let last = self.first_id + i64::try_from(self.transactions())?;
        let range = format!("id >= {} and id < {last}", self.first_id);
        let wanted = self.transactions().to_string();
        wait_until("the replica to hold what was sent", PATIENCE, || {
            let count = format!("select count(*) from orders where {range}");
            Ok(bed.replica.psql(database, &count)? == wanted)
        })?;
        let origin = commits(&bed.origin, DATABASE, &range)?;
        let replica = commits(&bed.replica, database, &range)?;
        let warm = self.first_id + (float(self.transactions()) * WARM_UP_SHARE) as i64;
        let mut delays: Vec<i64> = origin
            .range(warm..)
            .filter_map(|(id, committed)| Some(replica.get(id)? - committed))
            .collect();
        delays.sort_unstable();
        Ok(delays)
    }
}

fn commits(side: &Postgres, database: &str, range: &str) -> Result<BTreeMap<i64, i64>> {
    let sql = format!(
        "select id, (extract(epoch from pg_xact_commit_timestamp(xmin)) * 1e6)::bigint from orders where {range}"
    );
    let text = side.psql(database, &sql)?;
    let pairs = text.lines().map(|line| {
        let (id, at) = line.split_once('|').ok_or("a row without a time")?;
        Ok((id.parse()?, at.parse()?))
    });
    pairs.collect()
}
