//! A consumer in a process of its own: Keylane's with a handler that takes its time and checks the order, or a raw client's loop.

use super::nap::nap;
use super::task::{Handler, READY, Source, Task, WAITED};
use super::topics::{PARTITIONS, now_us, read_value};
use crate::bed::PATIENCE;
use crate::report::{Result, float, per};
use keylane::consumer::{Consumer, Record};
use keylane_parts::usage_of;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use std::io::Write as _;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

pub(crate) const COMMIT_EVERY: Duration = Duration::from_secs(1);

/// Does it, and says what it came to.
pub(crate) fn run(task: &Task) -> Result<()> {
    if task.handler == Handler::Raw {
        return raw_loop(task);
    }
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(handle(task))
}

async fn handle(task: &Task) -> Result<()> {
    // The process ends with it, and handlers count no owners.
    let seen: &'static Seen = Box::leak(Box::new(Seen::new(task)?));
    let stop = CancellationToken::new();
    let consumer = Consumer::kafka(&*task.bootstrap, &*task.group)
        .topic(&*task.topic)
        .concurrency(usize::try_from(task.concurrency)?)
        .commit_interval(COMMIT_EVERY);
    let stats = consumer.stats();
    let stopping = stop.clone();
    let work = Duration::from_millis(task.work_ms);
    let on_thread = task.handler == Handler::Thread;
    let mut running = tokio::spawn(consumer.run(stopping, move |record: Record| async move {
        if record.key.is_none() {
            seen.primers.add_permits(1);
            return Ok::<(), String>(());
        }
        let place = seen.begin(&record);
        if on_thread {
            let sleep = move || std::thread::sleep(work);
            tokio::task::spawn_blocking(sleep)
                .await
                .map_err(|error| error.to_string())?;
        } else if !work.is_zero() {
            nap(work).await;
        }
        seen.end(place);
        Ok(())
    }));
    if task.feed == Source::Live {
        tokio::select! {
            primed = tokio::time::timeout(PATIENCE, seen.primers.acquire_many(PARTITIONS)) => drop(primed??),
            ended = &mut running => return Err(format!("it ended early: {ended:?}").into()),
        }
        println!("{READY}");
    }
    let longest = Duration::from_secs(task.seconds_max);
    tokio::select! {
        in_time = tokio::time::timeout(longest, seen.all.notified()) => in_time.map_err(|_| {
            let handled = seen.count.load(Ordering::Relaxed);
            format!("{handled} of {} records in {longest:?}: {stats:?}", task.records)
        })?,
        ended = &mut running => return Err(format!("it ended early: {ended:?}").into()),
    }
    let last = seen.last.get().copied().unwrap_or_else(Moment::now);
    let peak_kb = usage_of(std::process::id())
        .unwrap_or_default()
        .resident_bytes_peak
        / 1000;
    stop.cancel();
    running.await??;
    seen.tell(last, task.records, peak_kb)
}

/// A moment, and the processor time used by then.
#[derive(Clone, Copy)]
struct Moment {
    at: Instant,
    cpu_ms: u64,
}

impl Moment {
    fn now() -> Self {
        Moment {
            at: Instant::now(),
            cpu_ms: usage_of(std::process::id()).unwrap_or_default().cpu_ms,
        }
    }
}

/// What handlers saw.
struct Seen {
    /// One for each record that is there only to begin with.
    primers: Semaphore,
    records: u64,
    first: OnceLock<Moment>,
    last: OnceLock<Moment>,
    count: AtomicU64,
    working: AtomicU64,
    at_once_max: AtomicU64,
    /// Each key's next number: a breach of its order, or two of its records at the same time, would show.
    next: Vec<AtomicU32>,
    broken: AtomicU64,
    all: Notify,
    /// Of a live feed.
    waits: Option<Mutex<Vec<(u64, u64)>>>,
}

impl Seen {
    fn new(task: &Task) -> Result<Self> {
        let live = task.feed == Source::Live;
        Ok(Seen {
            primers: Semaphore::new(0),
            records: task.records,
            first: OnceLock::new(),
            last: OnceLock::new(),
            count: AtomicU64::new(0),
            working: AtomicU64::new(0),
            at_once_max: AtomicU64::new(0),
            next: (0..task.keys).map(|_| AtomicU32::new(0)).collect(),
            broken: AtomicU64::new(0),
            all: Notify::new(),
            waits: match live {
                true => Some(Mutex::new(Vec::with_capacity(usize::try_from(
                    task.records,
                )?))),
                false => None,
            },
        })
    }

    /// A handler begins; returns its record's key and number.
    fn begin(&self, record: &Record) -> Option<(usize, u32)> {
        self.first.get_or_init(Moment::now);
        let working = self.working.fetch_add(1, Ordering::Relaxed) + 1;
        if working > self.at_once_max.load(Ordering::Relaxed) {
            self.at_once_max.fetch_max(working, Ordering::Relaxed);
        }
        let (number, due_us) = read_value(record.value.as_deref().unwrap_or_default())?;
        if let Some(waits) = &self.waits {
            let wait_us = now_us().saturating_sub(due_us);
            let mut waits = waits.lock().unwrap_or_else(PoisonError::into_inner);
            waits.push((due_us, wait_us));
        }
        let key = std::str::from_utf8(record.key.as_deref()?).ok()?;
        let (key, number): (usize, u32) = (key.parse().ok()?, u32::try_from(number).ok()?);
        let next = self.next.get(key)?.load(Ordering::Relaxed);
        (next == number).then_some((key, number))
    }

    /// A handler ends.
    fn end(&self, place: Option<(usize, u32)>) {
        self.working.fetch_sub(1, Ordering::Relaxed);
        let next = place.and_then(|(key, number)| Some((self.next.get(key)?, number)));
        let in_order = next.is_some_and(|(next, number)| {
            let set =
                next.compare_exchange(number, number + 1, Ordering::Relaxed, Ordering::Relaxed);
            set.is_ok()
        });
        if !in_order {
            self.broken.fetch_add(1, Ordering::Relaxed);
        }
        if self.count.fetch_add(1, Ordering::Relaxed) + 1 == self.records {
            self.last.get_or_init(Moment::now);
            self.all.notify_one();
        }
    }

    fn tell(&self, last: Moment, records: u64, peak_kb: u64) -> Result<()> {
        let mut out = std::io::stdout().lock();
        if let Some(waits) = &self.waits {
            let waits = waits.lock().unwrap_or_else(PoisonError::into_inner);
            let mut text = std::io::BufWriter::new(&mut out);
            for (due_us, wait_us) in &*waits {
                writeln!(text, "{WAITED} {due_us} {wait_us}")?;
            }
        }
        let first = self.first.get().copied().unwrap_or(last);
        let told = serde_json::json!({
            "records": records,
            "seconds": (last.at - first.at).as_secs_f64(),
            "cpu_us_per_record": per(float(last.cpu_ms - first.cpu_ms) * 1e3, float(records)),
            "resident_peak_kb": peak_kb,
            "at_once_max": self.at_once_max.load(Ordering::Relaxed),
            "broken": self.broken.load(Ordering::Relaxed),
        });
        writeln!(out, "{told}")?;
        Ok(())
    }
}

/// A member of a group that polls, does nothing, and commits: no order beyond the partition's, no concurrency.
fn raw_loop(task: &Task) -> Result<()> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &task.bootstrap)
        .set("group.id", &task.group)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .create()?;
    consumer.subscribe(&[&task.topic])?;
    let seen = Seen::new(task)?;
    let (mut count, mut committed) = (0, Instant::now());
    let until = Instant::now() + PATIENCE;
    while count < task.records {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else {
            if Instant::now() > until {
                return Err("the raw loop saw nothing more".into());
            }
            continue;
        };
        message?;
        seen.first.get_or_init(Moment::now);
        count += 1;
        if committed.elapsed() >= COMMIT_EVERY {
            consumer.commit_consumer_state(CommitMode::Async)?;
            committed = Instant::now();
        }
    }
    let last = Moment::now();
    consumer.commit_consumer_state(CommitMode::Sync)?;
    let peak_kb = usage_of(std::process::id())
        .unwrap_or_default()
        .resident_bytes_peak
        / 1000;
    seen.tell(last, count, peak_kb)
}
