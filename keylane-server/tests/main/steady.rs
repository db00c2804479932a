//! Watches from aside that partitions which stay with their owner go on, whatever happens to others.

use std::collections::BTreeMap;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::loaded::Loaded;

/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(400);

/// The table whose changes wait for no other's: its partitions go on whoever else does not.
const INDEPENDENT: &str = "counters";

/// A partition at one moment: its name, how often it was fenced, how far it is.
type Look = (String, u64, u64);

/// The partitions of a road, looked at until told to stop.
pub struct Watched {
    stop: Sender<()>,
    thread: JoinHandle<Stalls>,
}

impl Watched {
    /// Begins to look.
    pub fn new(loaded: &Loaded) -> Watched {
        let asked = loaded.bed.replica_asked();
        let sql = format!(
            "select topic || '/' || partition || ' ' || owner_epoch || ' ' || next_offset from keylane.progress
             where lane = -1 and pipeline = '{}'",
            loaded.bed.name
        );
        let (stop, stopped) = channel();
        let thread = std::thread::spawn(move || {
            let mut stalls = Stalls::default();
            let mut last = Instant::now();
            while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                let rows = asked(&sql);
                let since_last = last.elapsed();
                last += since_last;
                stalls.look(since_last, rows.lines().map(read));
            }
            stalls
        });
        Watched { stop, thread }
    }

    /// No partition stood still in its owner's hands for longer than `bound`, but for what it had to wait for.
    pub fn assert_steady(self, bound: Duration) {
        drop(self.stop);
        let stalls = self.thread.join().expect("the watching thread ends");
        let (partition, longest) = stalls.longest();
        eprintln!(
            "{} steps of partitions that stayed, {} of some that moved; the longest stall {longest:?} ({partition})",
            stalls.stayed.len(),
            stalls.moved.len()
        );
        assert!(!stalls.stayed.is_empty(), "no partition was seen to go on");
        assert!(
            longest <= bound,
            "{partition} did not move, and stood still for {longest:?} while others went on; {bound:?} were allowed"
        );
    }
}

fn read(row: &str) -> Look {
    let mut words = row.split(' ');
    let mut word = || words.next().expect("three words");
    let partition = word().to_owned();
    let mut number = || word().parse().expect("a number");
    (partition, number(), number())
}

/// From one step of a partition to its next.
type Span = (Duration, Duration);

/// How long partitions stood still while others went on. Time in which nothing at all goes on is nobody's: the machine is busy.
#[derive(Default)]
struct Stalls {
    now: Duration,
    partitions: BTreeMap<String, Part>,
    /// Steps of partitions that have the owner they had.
    stayed: Vec<(String, Span)>,
    /// Of those that were fenced meanwhile.
    moved: Vec<Span>,
}

struct Part {
    fences: u64,
    offset: u64,
    since: Duration,
    has_moved: bool,
}

impl Stalls {
    fn look(&mut self, since_last: Duration, rows: impl Iterator<Item = Look>) {
        let rows: Vec<Look> = rows.collect();
        let goes_on = |(partition, _, offset): &Look| {
            let known = self.partitions.get(partition);
            known.is_some_and(|part| part.offset != *offset)
        };
        if rows.iter().any(goes_on) {
            self.now += since_last;
        }
        let now = self.now;
        for (partition, fences, offset) in rows {
            let part = self.partitions.entry(partition.clone()).or_insert(Part {
                fences,
                offset,
                since: now,
                has_moved: false,
            });
            part.has_moved |= part.fences != fences;
            if part.offset != offset {
                match std::mem::take(&mut part.has_moved) {
                    true => self.moved.push((part.since, now)),
                    false => self.stayed.push((partition, (part.since, now))),
                }
                part.since = now;
            }
            (part.fences, part.offset) = (fences, offset);
        }
    }

    /// The longest stall of a partition that stayed. Changes of most may have to wait for such in partitions that move: that time is not theirs.
    fn longest(&self) -> (String, Duration) {
        let mut moving: Vec<Span> = self.moved.clone();
        // What moves, or may still be about to.
        moving.extend(self.partitions.values().map(|part| (part.since, self.now)));
        moving.sort_unstable();
        let stalls = self.stayed.iter().map(|(partition, (from, to))| {
            let waited = match partition.contains(INDEPENDENT) {
                true => Duration::ZERO,
                false => covered((*from, *to), &moving),
            };
            (*to - *from - waited, partition)
        });
        let (longest, partition) = stalls
            .max()
            .map_or((Duration::ZERO, ""), |(it, partition)| (it, partition));
        (partition.to_owned(), longest)
    }
}

/// How much of a span these cover; they are in order of their beginnings.
fn covered((from, to): Span, by: &[Span]) -> Duration {
    let (mut reached, mut sum) = (from, Duration::ZERO);
    for (begin, end) in by {
        let (begin, end) = ((*begin).max(reached), (*end).min(to));
        if begin < end {
            sum += end - begin;
            reached = end;
        }
    }
    sum
}

#[test]
fn a_partition_that_stands_still_is_told_and_not_one_that_moves_or_waits_or_while_all_stand_still()
{
    const COUNTERS: [&str; 3] = ["counters/0", "counters/1", "counters/2"];
    const NOTES: [&str; 3] = ["counters/0", "counters/1", "notes/0"];
    type Step = [(u64, u64); 3];
    let longest = |names: [&str; 3], looks: &[Step]| {
        let mut stalls = Stalls::default();
        for look in looks {
            let rows = names.iter().zip(look);
            let rows = rows.map(|(name, (fences, offset))| ((*name).to_owned(), *fences, *offset));
            stalls.look(Duration::from_secs(1), rows);
        }
        let (partition, longest) = stalls.longest();
        (partition, longest.as_secs())
    };
    let told = |partition: &str, seconds| (partition.to_owned(), seconds);
    // The last stands still for four seconds, and the one before moves meanwhile, in three.
    let steps: [Step; 6] = [
        [(1, 1), (1, 1), (1, 1)],
        [(1, 2), (1, 1), (1, 1)],
        [(1, 3), (2, 1), (1, 1)],
        [(1, 4), (2, 2), (1, 1)],
        [(1, 5), (2, 3), (1, 2)],
        [(1, 6), (2, 4), (1, 3)],
    ];
    assert_eq!(longest(COUNTERS, &steps), told("counters/2", 4));
    // Where it may have to wait for that one, only the rest counts.
    assert_eq!(longest(NOTES, &steps), told("notes/0", 1));
    // While nothing goes on at all, no time passes.
    let steps: [Step; 4] = [[(1, 1); 3], [(1, 1); 3], [(1, 1); 3], [(1, 2); 3]];
    assert_eq!(longest(COUNTERS, &steps).1, 1);
}
