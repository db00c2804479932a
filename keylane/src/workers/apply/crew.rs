//! How many workers there are: the number that was configured or asked for, or what is found while they work. Lanes are taken, not owned, so it changes at
//! any moment without anything being moved or reordered.

use std::time::{Duration, Instant};

use keylane_core::apply::{AskedThreads, AutoThreads, Threads, Window};
use tracing::info;

use super::road::Road;

/// What is measured before a number that is being found is thought over.
const WINDOW: Duration = Duration::from_secs(2);

/// What the replica is given to answer: what else is looked at meanwhile must not wait for one that is away.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// Decides how many workers there are.
pub(super) struct Crew {
    threads: Threads,
    auto: AutoThreads,
    began: Instant,
    applied: u64,
    busy: u64,
    samples: u64,
}

impl Crew {
    /// As configured or asked for; [`Road::workers`] is set.
    pub(super) fn new(road: &Road, asked: Option<AskedThreads>) -> Self {
        let mut crew = Crew {
            threads: AskedThreads::or_configured(asked, road.settings.threads),
            auto: AutoThreads::new(road.settings.threads_max),
            began: Instant::now(),
            applied: road.stats.applied.get(),
            busy: 0,
            samples: 0,
        };
        crew.tell(road);
        crew
    }

    /// To be called often and at even distances.
    pub(super) fn sample(&mut self, road: &Road) {
        self.busy += road.stats.busy.get();
        self.samples += 1;
        let took = self.began.elapsed();
        if self.threads != Threads::Auto || took < WINDOW {
            return;
        }
        let applied = road.stats.applied.get();
        self.auto.look(Window {
            rate: applied.saturating_sub(self.applied) as f64 / took.as_secs_f64(),
            busy: self.busy as f64 / self.samples as f64,
        });
        (self.began, self.applied) = (Instant::now(), applied);
        (self.busy, self.samples) = (0, 0);
        self.tell(road);
    }

    /// Looks whether a person asked for another number. A replica that is away is asked again at the next look.
    pub(super) async fn look(&mut self, road: &Road) {
        let asked = road.replica.asked_threads(&road.settings.pipeline);
        let Ok(Ok(asked)) = tokio::time::timeout(ANSWER_MAX, asked).await else {
            return;
        };
        let threads = AskedThreads::or_configured(asked, road.settings.threads);
        if threads == self.threads {
            return;
        }
        info!(pipeline = &*road.settings.pipeline, from = %self.threads, to = %threads, "another number of threads");
        self.threads = threads;
        self.auto = AutoThreads::new(road.settings.threads_max);
        (self.began, self.applied) = (Instant::now(), road.stats.applied.get());
        (self.busy, self.samples) = (0, 0);
        self.tell(road);
    }

    fn tell(&mut self, road: &Road) {
        let (number, why) = match self.threads {
            Threads::Number(number) => (number, ""),
            Threads::Auto => (self.auto.current(), self.auto.why()),
        };
        let number = usize::try_from(number).unwrap_or(1).max(1);
        road.workers
            .send_if_modified(|workers| std::mem::replace(workers, number) != number);
        road.stats.threads.set(number as u64);
        road.stats.threads_found.set(&self.threads.to_string(), why);
    }
}
