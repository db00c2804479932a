//! Sagas that are begun one after another has ended, and sagas that are begun when they are due.

use super::client::Client;
use super::meter::Meter;
use crate::bed::PATIENCE;
use crate::report::{Result, float};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// How often it is looked which sagas have ended.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Who begins sagas when they are due.
const CONNECTIONS: u64 = 64;
/// The first part of an open loop, which is not counted.
const WARM_UP_SHARE: f64 = 0.15;

/// Which sagas have ended, by the store.
pub(crate) struct Watch {
    waiting: Mutex<HashMap<String, oneshot::Sender<()>>>,
    ended: AtomicU64,
}

impl Watch {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Watch {
            waiting: Mutex::default(),
            ended: AtomicU64::new(0),
        })
    }

    /// Those that were awaited and have ended.
    pub(crate) fn ended(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }

    /// Returns once the saga's end is in the store.
    async fn end_of(&self, id: String) -> Result<()> {
        let (told, hears) = oneshot::channel();
        self.waiting().insert(id, told);
        Ok(hears.await?)
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<String, oneshot::Sender<()>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks, for ever.
    pub(crate) async fn look(&self, meter: &Meter) -> Result<()> {
        let sql = "select id from keylane.saga_history where id = any($1)";
        let ended = meter.client.prepare(sql).await?;
        loop {
            let begun = tokio::time::Instant::now();
            let ids: Vec<String> = self.waiting().keys().cloned().collect();
            if !ids.is_empty() {
                let rows = meter.client.query(&ended, &[&ids]).await?;
                self.ended.fetch_add(rows.len() as u64, Ordering::Relaxed);
                for row in rows {
                    let told = self.waiting().remove(row.get::<_, &str>(0));
                    told.map(|told| told.send(()));
                }
            }
            tokio::time::sleep_until(begun + LOOK_EVERY).await;
        }
    }
}

/// So many loops, each of which begins a saga when the one before has ended.
pub(crate) struct ClosedLoop {
    loops: JoinSet<Result<()>>,
    stop: Arc<AtomicBool>,
}

impl ClosedLoop {
    /// Begins; `name` is in the sagas' keys.
    pub(crate) fn start(address: SocketAddr, watch: &Arc<Watch>, loops: u64, name: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut all = JoinSet::new();
        for number in 0..loops {
            let (watch, stop, name) = (watch.clone(), stop.clone(), name.to_owned());
            all.spawn(async move {
                let mut client = Client::connect(address).await?;
                let mut count = 0;
                while !stop.load(Ordering::Relaxed) {
                    let key = format!("{name}-{number}-{count}");
                    watch.end_of(client.begin("trip", &key).await?).await?;
                    count += 1;
                }
                Ok(())
            });
        }
        ClosedLoop { loops: all, stop }
    }

    /// Goes on for so long; fails as soon as a loop does.
    pub(crate) async fn go_on(&mut self, lasts: Duration) -> Result<()> {
        tokio::select! {
            () = tokio::time::sleep(lasts) => Ok(()),
            Some(ended) = self.loops.join_next() => ended?,
        }
    }

    /// Begins no more, and returns when all have ended.
    pub(crate) async fn end(mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let ending = async {
            while let Some(ended) = self.loops.join_next().await {
                ended??;
            }
            Ok(())
        };
        tokio::time::timeout(PATIENCE, ending).await?
    }
}

/// Begins sagas of a definition, as fast as `CONNECTIONS` connections do.
pub(crate) async fn begin_many(address: SocketAddr, definition: &str, sagas: u64) -> Result<()> {
    let mut all = JoinSet::new();
    for lane in 0..CONNECTIONS {
        let definition = definition.to_owned();
        all.spawn(async move {
            let mut client = Client::connect(address).await?;
            for number in (lane..sagas).step_by(CONNECTIONS as usize) {
                let key = format!("{definition}-{number}");
                client.begin(&definition, &key).await?;
            }
            Result::Ok(())
        });
    }
    while let Some(ended) = all.join_next().await {
        ended??;
    }
    Ok(())
}

/// Sagas that are begun when they are due, whatever became of those before them.
#[derive(Clone, Copy)]
pub(crate) struct OpenLoop {
    pub(crate) rate: u64,
    pub(crate) lasts: Duration,
}

/// How it went.
pub(crate) struct Delays {
    /// From when each was due to the commit of its end; ascending, microseconds.
    sorted: Vec<i64>,
    /// By how much the latest was begun too late.
    pub(crate) late_ms_max: f64,
}

impl Delays {
    pub(crate) fn at_ms(&self, share: f64) -> f64 {
        let place = (float(self.sorted.len() as u64) * share) as usize;
        let us = self
            .sorted
            .get(place.min(self.sorted.len().saturating_sub(1)));
        us.map_or(f64::NAN, |us| *us as f64 / 1e3)
    }
}

impl OpenLoop {
    fn sagas(&self) -> u64 {
        self.rate * self.lasts.as_secs()
    }

    fn due_us(&self, number: u64) -> u64 {
        number * 1_000_000 / self.rate
    }

    /// Runs to the end of the last saga.
    pub(crate) async fn run(self, address: SocketAddr, meter: &Meter) -> Result<Delays> {
        let late_us = Arc::new(AtomicU64::new(0));
        let begin = Instant::now() + Duration::from_millis(200);
        let begin_us = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros();
        let begin_us = i64::try_from(begin_us)? + 200_000;
        let mut all = JoinSet::new();
        for lane in 0..CONNECTIONS {
            let late_us = late_us.clone();
            all.spawn(async move {
                let mut client = Client::connect(address).await?;
                for number in (lane..self.sagas()).step_by(CONNECTIONS as usize) {
                    let due = begin + Duration::from_micros(self.due_us(number));
                    tokio::time::sleep_until(due.into()).await;
                    late_us.fetch_max(due.elapsed().as_micros() as u64, Ordering::Relaxed);
                    client.begin("trip", &format!("open-{number}")).await?;
                }
                Result::Ok(())
            });
        }
        while let Some(ended) = all.join_next().await {
            ended??;
        }
        let ended = tokio::time::timeout(PATIENCE, self.ends(meter)).await??;
        let warm = (float(self.sagas()) * WARM_UP_SHARE) as u64;
        let delay = |(number, at): (&u64, &i64)| at - begin_us - self.due_us(*number) as i64;
        let mut sorted: Vec<i64> = ended.range(warm..).map(delay).collect();
        sorted.sort_unstable();
        Ok(Delays {
            sorted,
            late_ms_max: float(late_us.load(Ordering::Relaxed)) / 1e3,
        })
    }

    /// When each saga's end was committed, once all have ended; microseconds since 1970.
    async fn ends(&self, meter: &Meter) -> Result<BTreeMap<u64, i64>> {
        let count = "select count(*) from keylane.saga_history where key like 'open-%'";
        while meter.client.query_one(count, &[]).await?.get::<_, i64>(0) < self.sagas() as i64 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let sql = "select substr(key, 6)::bigint, (extract(epoch from pg_xact_commit_timestamp(xmin)) * 1e6)::bigint
            from keylane.saga_history where key like 'open-%'";
        let rows = meter.client.query(sql, &[]).await?;
        let pairs = rows
            .iter()
            .map(|row| (row.get::<_, i64>(0) as u64, row.get(1)));
        Ok(pairs.collect())
    }
}
