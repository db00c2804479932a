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
    seen: Seen,
}

/// What was seen since the last number was decided on.
struct Seen {
    since: Instant,
    applied_before: u64,
    busy: u64,
    samples: u64,
}

impl Seen {
    fn nothing(road: &Road) -> Self {
        Seen {
            since: Instant::now(),
            applied_before: road.stats.applied.get(),
            busy: 0,
            samples: 0,
        }
    }
}

impl Crew {
    /// As configured or asked for; [`Road::workers`] is set.
    pub(super) fn new(road: &Road, asked: Option<AskedThreads>) -> Self {
        let crew = Crew {
            threads: AskedThreads::or_configured(asked, road.settings.threads),
            auto: AutoThreads::new(road.settings.threads_max),
            seen: Seen::nothing(road),
        };
        crew.tell(road);
        crew
    }

    /// To be called often and at even distances.
    pub(super) fn sample(&mut self, road: &Road) {
        if self.threads != Threads::Auto {
            return;
        }
        self.seen.busy += road.stats.busy.get();
        self.seen.samples += 1;
        let took = self.seen.since.elapsed();
        if took < WINDOW {
            return;
        }
        let seen = std::mem::replace(&mut self.seen, Seen::nothing(road));
        let applied = self.seen.applied_before.saturating_sub(seen.applied_before);
        self.auto.look(Window {
            rate: applied as f64 / took.as_secs_f64(),
            busy: seen.busy as f64 / seen.samples as f64,
        });
        self.tell(road);
    }

    /// Looks whether a person asked for another number. A replica that is away is asked again at the next look.
    pub(super) async fn look(&mut self, road: &Road) {
        let asked = road.replica.asked_threads(&road.settings.pipeline);
        let Ok(Ok(asked)) = tokio::time::timeout(ANSWER_MAX, asked).await else {
            return;
        };
        let former = self.threads;
        let threads = AskedThreads::or_configured(asked, road.settings.threads);
        if threads != former {
            info!(pipeline = &*road.settings.pipeline, from = %former, to = %threads, "another number of threads");
            *self = Crew::new(road, asked);
        }
    }

    fn tell(&self, road: &Road) {
        let (number, why) = match self.threads {
            Threads::Number(number) => (number, ""),
            Threads::Auto => (self.auto.current(), self.auto.why()),
        };
        let number = usize::try_from(number).unwrap_or(1);
        road.workers
            .send_if_modified(|workers| std::mem::replace(workers, number) != number);
        road.stats.threads.set(number as u64);
        road.stats.threads_found.set(&self.threads.to_string(), why);
    }
}
