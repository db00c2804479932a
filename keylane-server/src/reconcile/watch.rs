//! What a person who waits sees, on stderr: on a terminal a live line, elsewhere a line now and then.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use keylane_core::notify::{count, duration};
use keylane_core::reconcile::Figures;

/// Without a terminal, lines are not closer together than this.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// One table's progress.
pub(super) struct Watch {
    table: String,
    began: Instant,
    /// Rows that were compared before this process began.
    before: u64,
    estimate: Option<u64>,
    live: Option<ProgressBar>,
    line_at: Instant,
    quiet: bool,
}

impl Watch {
    pub(super) fn new(table: &str, before: &Figures, estimate: Option<u64>, quiet: bool) -> Self {
        let on_terminal = !quiet && std::io::stderr().is_terminal();
        let live = on_terminal.then(|| {
            let bar = ProgressBar::no_length();
            bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(5));
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                bar.set_style(style);
            }
            bar
        });
        let now = Instant::now();
        Watch {
            table: table.to_owned(),
            began: now,
            before: before.rows_origin,
            estimate,
            live,
            line_at: now,
            quiet,
        }
    }

    pub(super) fn show(&mut self, figures: &Figures) {
        match &self.live {
            Some(bar) => {
                bar.set_message(self.words(figures, self.began.elapsed()));
                bar.tick();
            }
            None if !self.quiet && self.line_at.elapsed() >= LINE_INTERVAL => {
                self.line_at = Instant::now();
                eprintln!("{}", self.words(figures, self.began.elapsed()));
            }
            None => {}
        }
    }

    pub(super) fn end(&self) {
        if let Some(bar) = &self.live {
            bar.finish_and_clear();
        }
    }

    fn words(&self, figures: &Figures, took: Duration) -> String {
        let rows = figures.rows_origin;
        let seconds = took.as_secs_f64().max(0.001);
        let rate = (rows - self.before.min(rows)) as f64 / seconds;
        let of = match self.estimate {
            Some(all) if all > rows => format!(" of about {}", count(all)),
            _ => String::new(),
        };
        let left = match self.estimate {
            Some(all) if all > rows && rate >= 1.0 => {
                let ms = (all - rows) as f64 / rate * 1e3;
                format!(", about {} left", duration(ms as u64))
            }
            _ => String::new(),
        };
        let differ = match figures.proved() {
            0 => String::new(),
            some => format!("; {} differ", count(some)),
        };
        format!(
            "{}: {}{of} rows, {} rows/s{left}{differ}",
            self.table,
            count(rows),
            count(rate as u64)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_tells_rows_rate_what_is_left_and_what_differs() {
        let at = |rows_origin, different| Figures {
            rows_origin,
            different,
            ..Figures::default()
        };
        let took = Duration::from_secs(10);
        let words = |before, estimate, now: &Figures| {
            Watch::new("public.orders", &at(before, 0), estimate, true).words(now, took)
        };
        assert_eq!(
            words(0, Some(1_000_000), &at(250_000, 3)),
            "public.orders: 250,000 of about 1,000,000 rows, 25,000 rows/s, about 30 s left; 3 differ"
        );
        // What was compared before a restart is no part of the rate.
        assert_eq!(
            words(200_000, Some(1_000_000), &at(250_000, 0)),
            "public.orders: 250,000 of about 1,000,000 rows, 5,000 rows/s, about 2 min 30 s left"
        );
        assert_eq!(
            words(0, Some(100), &at(250_000, 0)),
            "public.orders: 250,000 rows, 25,000 rows/s"
        );
    }
}
