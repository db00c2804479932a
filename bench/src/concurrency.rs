//! How the consumer's rate grows with its concurrency: 1 to 64 handlers of 5 ms at once, which sleep on threads of their own or as tasks.

use crate::Sizes;
use crate::consume::cell::{Cell, Place, Whose};
use crate::consume::keys::Keys;
use crate::consume::task::{Handler, Source};
use crate::report::{Report, Result, float, median, per};
use keylane_parts::Kafka;

const WORK_MS: u64 = 5;
const CONCURRENCIES: [u64; 7] = [1, 2, 4, 8, 16, 32, 64];
/// How long each lasts if nothing is lost.
const SECONDS: u64 = 4;
const BACKLOG: u64 = 200_000;

pub(crate) fn run(sizes: &Sizes, report: &mut Report) -> Result<()> {
    let rounds = sizes.rounds.unwrap_or(1);
    let seconds = sizes.seconds.unwrap_or(SECONDS);
    report.condition("rounds", rounds);
    report.condition("work_ms", WORK_MS);
    report.condition("keys", "1,000 in turn");
    report.condition("seconds_if_ideal", seconds);
    let kafka = Kafka::start()?;
    report.condition("kafka", "4.3.0, one KRaft node, -Xmx512m");
    let bootstrap = kafka.bootstrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let mut place = Place::new(&bootstrap, &runtime, sizes.changes.unwrap_or(BACKLOG));
    for (handler, name) in [(Handler::Thread, "threads"), (Handler::Task, "tasks")] {
        let mut first = f64::NAN;
        for concurrency in CONCURRENCIES {
            let cell = Cell {
                keys: Keys::Thousand,
                work_ms: WORK_MS,
                concurrency,
                source: Source::Backlog,
            };
            let top_share = cell.keys.top_share();
            let ideal = cell.ideal(top_share).unwrap_or(f64::NAN);
            let records = (ideal * float(seconds)) as u64;
            let rates: Vec<f64> = (0..rounds)
                .map(|_| {
                    let handled = place.backlog(&cell, records, Whose::Ours(handler))?;
                    Ok(handled.done.records_per_s())
                })
                .collect::<Result<_>>()?;
            let rate = median(rates);
            if concurrency == 1 {
                first = rate;
            }
            let mut figure = |what: &str, value| {
                report.figure(&format!("{name}_{concurrency}_{what}"), value);
            };
            figure("records_per_s", rate);
            figure("of_ideal_ratio", per(rate, ideal));
            figure("of_linear_ratio", per(rate, first * float(concurrency)));
            if handler == Handler::Task {
                let sleeps = place.timers_rate(&cell, top_share).unwrap_or(f64::NAN);
                figure("of_bare_sleeps_ratio", per(rate, sleeps));
            }
        }
    }
    Ok(())
}
