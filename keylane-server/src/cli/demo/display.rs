//! What the demo shows while it runs, on stderr: on a terminal three live lines and a progress bar under the events; elsewhere a line now and then.

use std::collections::VecDeque;
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::report::grouped;
use super::workers::Totals;

/// Without a terminal, progress lines are not closer together than this.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
/// Rates are taken over this time.
const RATE_WINDOW: Duration = Duration::from_secs(2);

/// What is to be shown.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// What the workers did.
    pub totals: Totals,
    /// How far the replica is behind, milliseconds.
    pub lag_ms: u64,
    /// Appliers at work, and how many there are.
    pub busy: (u64, u64),
    /// What the capturer does, in a word.
    pub capturing: String,
    /// What the applier does, in a word.
    pub applying: String,
}

/// The demo's screen.
#[derive(Debug)]
pub struct Display {
    started: Instant,
    live: Option<Live>,
    quiet: bool,
    colored: bool,
    last_line: Instant,
    samples: VecDeque<(Instant, Totals)>,
}

#[derive(Debug)]
struct Live {
    screen: MultiProgress,
    capture: ProgressBar,
    publish: ProgressBar,
    apply: ProgressBar,
    bar: ProgressBar,
}

impl Live {
    fn new(traffic: Duration, colored: bool) -> Self {
        let screen = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        let line = || {
            let bar = screen.add(ProgressBar::no_length());
            bar.set_style(style("  {msg}"));
            bar
        };
        let (capture, publish, apply) = (line(), line(), line());
        let bar = screen.add(ProgressBar::new(
            u64::try_from(traffic.as_millis()).unwrap_or(u64::MAX),
        ));
        let template = if colored {
            "  {wide_bar:.cyan/blue} {msg}"
        } else {
            "  {wide_bar} {msg}"
        };
        bar.set_style(style(template).progress_chars("━╸─"));
        Live {
            screen,
            capture,
            publish,
            apply,
            bar,
        }
    }
}

/// A line on stderr. Nobody may be reading it any more; the demo goes on.
pub fn told(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Something that happened, with its time since the start. `bad` is what a demo does to itself.
pub fn marked(started: Instant, bad: bool, colored: bool, text: &str) -> String {
    let mark = match (bad, colored) {
        (true, true) => "\x1b[31m✗\x1b[0m",
        (true, false) => "✗",
        (false, true) => "\x1b[32m✓\x1b[0m",
        (false, false) => "✓",
    };
    format!(
        "  {:>5.1} s  {mark} {text}",
        started.elapsed().as_secs_f64()
    )
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Display {
    /// A display for traffic of a given time.
    pub fn new(traffic: Duration, quiet: bool, colored: bool) -> Self {
        let now = Instant::now();
        let live = (!quiet && std::io::stderr().is_terminal()).then(|| Live::new(traffic, colored));
        Display {
            started: now,
            live,
            quiet,
            colored,
            last_line: now,
            samples: VecDeque::new(),
        }
    }

    /// A line that stays.
    pub fn say(&self, line: &str) {
        match &self.live {
            Some(live) => {
                // The screen may be gone; the demo goes on.
                let _ = live.screen.println(line);
            }
            None if !self.quiet => told(line),
            None => {}
        }
    }

    /// Something that happened, with its time. `bad` is what the demo does to itself.
    pub fn event(&self, bad: bool, text: &str) {
        self.say(&marked(self.started, bad, self.colored, text));
    }

    /// Shows the state now. `done` is the part of the traffic's time that is over; `doing` what goes on, in a word or two.
    pub fn tick(&mut self, view: &View, done: Duration, doing: &str) {
        let now = Instant::now();
        self.samples.push_back((now, view.totals));
        while self
            .samples
            .front()
            .is_some_and(|(at, _)| now - *at > RATE_WINDOW)
        {
            self.samples.pop_front();
        }
        let (captured, published, applied) = (
            |t: &Totals| t.captured,
            |t: &Totals| t.published,
            |t: &Totals| t.applied,
        );
        let (capture_rate, publish_rate, apply_rate) = (
            self.rate(captured),
            self.rate(published),
            self.rate(applied),
        );
        let lag = format!("{:.1} s behind", view.lag_ms as f64 / 1000.0);
        let busy = format!("{} of {} workers busy", view.busy.0, view.busy.1);
        let line = |word: &str, count: u64, rate: u64, more: &str| {
            format!(
                "{word:<9} {:>10} {:>7}/s   {more}",
                grouped(count),
                grouped(rate)
            )
        };
        if let Some(live) = &self.live {
            live.capture.set_message(line(
                "captured",
                view.totals.captured,
                capture_rate,
                &view.capturing,
            ));
            live.publish
                .set_message(line("published", view.totals.published, publish_rate, ""));
            live.apply.set_message(line(
                "applied",
                view.totals.applied,
                apply_rate,
                &format!("{}, {busy}, {lag}", view.applying),
            ));
            live.bar
                .set_position(u64::try_from(done.as_millis()).unwrap_or(u64::MAX));
            live.bar.set_message(doing.to_owned());
        } else if !self.quiet && now - self.last_line >= LINE_INTERVAL {
            self.last_line = now;
            let counts = [
                ("captured", view.totals.captured, capture_rate),
                ("applied", view.totals.applied, apply_rate),
            ]
            .map(|(word, count, rate)| format!("{word} {} ({}/s)", grouped(count), grouped(rate)));
            told(&format!(
                "  {:>5.1} s  {doing}: {}, {busy}, {lag}",
                self.started.elapsed().as_secs_f64(),
                counts.join(", ")
            ));
        }
    }

    fn rate(&self, of: fn(&Totals) -> u64) -> u64 {
        let (Some((from, first)), Some((to, last))) = (self.samples.front(), self.samples.back())
        else {
            return 0;
        };
        let seconds = (*to - *from).as_secs_f64().max(0.5);
        (of(last).saturating_sub(of(first)) as f64 / seconds).round() as u64
    }

    /// Takes the live lines away; what was said stays.
    pub fn close(&mut self) {
        if let Some(live) = self.live.take() {
            // All at once, and nothing is drawn after it.
            let _ = live.screen.clear();
            live.screen.set_draw_target(ProgressDrawTarget::hidden());
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.close();
    }
}
