//! Sleeps that take about as long as they were asked to. A runtime's own timer counts whole milliseconds and rounds up, so that one of 1 ms takes two: work that no real handler has.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How often the one thread that wakes sleepers looks: no sleep takes longer by more than this and what the machine needs.
const TURN: Duration = Duration::from_micros(100);

type Nap = (Instant, oneshot::Sender<()>);

/// Sleeps without a thread of its own.
pub(crate) async fn nap(length: Duration) {
    static NAPS: OnceLock<Sender<Nap>> = OnceLock::new();
    let naps = NAPS.get_or_init(|| {
        let (naps, taken) = channel();
        std::thread::spawn(move || wake(&taken));
        naps
    });
    let (wake, woken) = oneshot::channel();
    if naps.send((Instant::now() + length, wake)).is_ok() {
        woken.await.ok();
    }
}

fn wake(taken: &Receiver<Nap>) {
    let mut asleep: BTreeMap<(Instant, u64), oneshot::Sender<()>> = BTreeMap::new();
    let mut number = 0;
    loop {
        let first = if asleep.is_empty() {
            taken.recv().ok()
        } else {
            taken.try_recv().ok()
        };
        for (due, wake) in first.into_iter().chain(taken.try_iter()) {
            number += 1;
            asleep.insert((due, number), wake);
        }
        let later = asleep.split_off(&(Instant::now(), u64::MAX));
        for wake in std::mem::replace(&mut asleep, later).into_values() {
            wake.send(()).ok();
        }
        std::thread::sleep(TURN);
    }
}
