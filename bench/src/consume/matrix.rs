//! Every cell: 0, 1, 10 and 100 ms of work × one, a thousand, Zipf's and distinct keys × 10, 100 and 1,000 at once, on a backlog and on a live feed.

use super::cell::{Cell, Handled, Place, Whose};
use super::keys::Keys;
use super::task::{Handler, Source, Waits};
use crate::Sizes;
use crate::report::{Report, Result, float, median, per};
use std::collections::BTreeMap;

const WORKS_MS: [u64; 4] = [0, 1, 10, 100];
const CONCURRENCIES: [u64; 3] = [10, 100, 1_000];
/// How often the raw loop runs.
const RAW_ROUNDS: u64 = 5;
/// How long a backlog with work lasts if nothing is lost.
const SECONDS: u64 = 5;
/// How long a live feed lasts: longer, because its beginning is left out.
const LIVE_SECONDS: u64 = 7;
/// A live feed's rate at most.
const LIVE_RATE_MAX: u64 = 50_000;
/// A peer is measured beside live feeds that it can follow.
const PEER_LIVE_RATE_MAX: f64 = 5_000.0;
/// With a smaller fetch Parallel Consumer sees more of several partitions' keys at once.
const SMALL_FETCH: u64 = 16 << 10;

/// All cells whose names contain what was asked for.
pub(super) fn run(place: &mut Place<'_>, sizes: &Sizes, report: &mut Report) -> Result<()> {
    let seconds = sizes.seconds.unwrap_or(SECONDS);
    let rate_max = sizes.rate.unwrap_or(LIVE_RATE_MAX);
    report.condition("backlog_seconds_if_ideal", seconds);
    report.condition("live_seconds", seconds.max(LIVE_SECONDS));
    report.condition("live_rate_max_per_s", rate_max);
    report.condition(
        "live_rate",
        "0.8 of min(concurrency, 1 / top share) / what a sleep of that length takes with nothing else",
    );
    report.condition("zipf", "exponent 1 over 1,000,000 keys");
    let mut matrix = Matrix {
        place,
        sizes,
        report,
        extremes: BTreeMap::new(),
    };
    for keys in Keys::ALL {
        let raw = matrix.raw(keys)?;
        for work_ms in WORKS_MS {
            for concurrency in CONCURRENCIES {
                for source in [Source::Backlog, Source::Live] {
                    let cell = Cell {
                        keys,
                        work_ms,
                        concurrency,
                        source,
                    };
                    if !matrix.is_asked_for(&cell) {
                        continue;
                    }
                    match source {
                        Source::Backlog => matrix.backlog(&cell, seconds, raw)?,
                        Source::Live => {
                            matrix.live(&cell, seconds.max(LIVE_SECONDS), float(rate_max))?;
                        }
                    }
                }
            }
        }
    }
    matrix.sum_up();
    Ok(())
}

/// Of the raw loop's rounds.
#[derive(Clone, Copy, Default)]
struct Raw {
    median: f64,
    fastest: f64,
}

struct Matrix<'m, 'a> {
    place: &'m mut Place<'a>,
    sizes: &'m Sizes,
    report: &'m mut Report,
    /// The lowest ratio or the highest cost of several cells, by its name.
    extremes: BTreeMap<String, f64>,
}

impl Matrix<'_, '_> {
    fn is_asked_for(&self, cell: &Cell) -> bool {
        let only = self.sizes.only.as_deref().unwrap_or_default();
        cell.name().contains(only)
    }

    /// The raw loop's rates, if there is a cell to compare them with: with the client as it comes, it either never waits or stands still for a second, so one round tells little.
    fn raw(&mut self, keys: Keys) -> Result<Raw> {
        let cell = |concurrency| Cell {
            keys,
            work_ms: 0,
            concurrency,
            source: Source::Backlog,
        };
        let asked_for = CONCURRENCIES.map(cell);
        if !asked_for.iter().any(|cell| self.is_asked_for(cell)) {
            return Ok(Raw::default());
        }
        let rounds: Vec<Handled> = (0..RAW_ROUNDS)
            .map(|_| {
                let raw = Whose::Ours(Handler::Raw);
                self.place.backlog(&cell(1), u64::MAX, raw)
            })
            .collect::<Result<_>>()?;
        let rates = || rounds.iter().map(|it| it.done.records_per_s());
        let raw = Raw {
            median: median(rates().collect()),
            fastest: rates().fold(0.0, f64::max),
        };
        let cpu_us = median(rounds.iter().map(|it| it.done.cpu_us).collect());
        let mut figure = |name: &str, value| {
            let name = format!("raw_loop_{}_{name}", keys.name());
            self.report.figure(&name, value);
        };
        figure("records_per_s", raw.median);
        figure("fastest_records_per_s", raw.fastest);
        figure("cpu_us_per_record", cpu_us);
        Ok(raw)
    }

    fn backlog(&mut self, cell: &Cell, seconds: u64, raw: Raw) -> Result<()> {
        let ideal = cell.ideal(cell.keys.top_share());
        let records = ideal.map_or(u64::MAX, |ideal| (ideal * float(seconds)) as u64);
        let rounds: Vec<Handled> = (0..self.sizes.rounds.unwrap_or(1))
            .map(|_| {
                let ours = Whose::Ours(Handler::Task);
                self.place.backlog(cell, records, ours)
            })
            .collect::<Result<_>>()?;
        let middle = |of: &dyn Fn(&Handled) -> f64| median(rounds.iter().map(of).collect());
        let rate = middle(&|it| it.done.records_per_s());
        let top_share = middle(&|it| it.top_share);
        self.figure(cell, "records_per_s", rate);
        if let Some(ideal) = cell.ideal(top_share) {
            let of_ideal = self.figure(cell, "of_ideal_ratio", per(rate, ideal));
            self.lowest(cell, "of_ideal_ratio", of_ideal);
            let timers = self.place.timers_rate(cell, top_share).unwrap_or_default();
            let of_timer = self.figure(cell, "of_bare_sleeps_ratio", per(rate, timers));
            self.lowest(cell, "of_bare_sleeps_ratio", of_timer);
        } else {
            for (name, raw) in [
                ("of_raw_loop_ratio", raw.median),
                ("of_fastest_raw_loop_ratio", raw.fastest),
            ] {
                let of_raw = self.figure(cell, name, per(rate, raw));
                self.lowest(cell, name, of_raw);
            }
        }
        let cpu_us = self.figure(cell, "cpu_us_per_record", middle(&|it| it.done.cpu_us));
        if cell.work_ms == 0 {
            self.highest("cpu_us_per_record_without_work", cpu_us);
        }
        let resident = middle(&|it| it.done.resident_peak_mb);
        self.figure(cell, "resident_peak_mb", resident);
        self.highest("resident_peak_mb", resident);
        self.figure(cell, "at_once_max", middle(&|it| it.done.at_once_max));
        if self.sizes.peer.is_some() {
            self.peers_backlog(cell, records, rate)?;
        }
        Ok(())
    }

    fn peers_backlog(&mut self, cell: &Cell, records: u64, ours: f64) -> Result<()> {
        let done = peers_backlog(self.place, cell, records)?;
        let rate = done.done.records_per_s();
        self.figure(cell, "parallel_consumer_records_per_s", rate);
        let cpu_us = done.done.cpu_us;
        self.figure(cell, "parallel_consumer_cpu_us_per_record", cpu_us);
        let resident = done.done.resident_peak_mb;
        self.figure(cell, "parallel_consumer_resident_peak_mb", resident);
        let ratio = self.figure(cell, "parallel_consumer_ratio", per(ours, rate));
        self.lowest(cell, "parallel_consumer_ratio", ratio);
        Ok(())
    }

    fn live(&mut self, cell: &Cell, seconds: u64, rate_max: f64) -> Result<()> {
        let rate = self.place.live_rate(cell, rate_max);
        let ours = Whose::Ours(Handler::Task);
        let handled = self.place.live(cell, rate, seconds, ours)?;
        let falls_behind = self.live_figures(cell, "", handled);
        self.highest("live_falls_behind_ratio", falls_behind);
        if self.sizes.peer.is_some() && rate <= PEER_LIVE_RATE_MAX {
            let peers = Whose::Peers { fetch_bytes: 0 };
            let handled = self.place.live(cell, rate, seconds, peers)?;
            self.live_figures(cell, "parallel_consumer_", handled);
        }
        Ok(())
    }

    fn live_figures(&mut self, cell: &Cell, whose: &str, handled: Handled) -> f64 {
        let (rate, late_ms) = handled.fed.unwrap_or_default();
        let (cpu_us, resident) = (handled.done.cpu_us, handled.done.resident_peak_mb);
        let waits = Waits::of(handled.done.waits);
        let figures = [
            ("fed_records_per_s", rate),
            ("wait_p50_ms", waits.percentile_ms(50.0)),
            ("wait_p99_ms", waits.percentile_ms(99.0)),
            ("falls_behind_ratio", waits.falls_behind),
            ("feed_late_max_ms", late_ms),
            ("cpu_us_per_record", cpu_us),
            ("resident_peak_mb", resident),
        ];
        for (name, value) in figures {
            self.figure(cell, &format!("{whose}{name}"), value);
        }
        waits.falls_behind
    }

    fn figure(&mut self, cell: &Cell, name: &str, value: f64) -> f64 {
        self.report
            .figure(&format!("{}_{name}", cell.name()), value);
        value
    }

    /// Of all cells with the same work.
    fn lowest(&mut self, cell: &Cell, name: &str, value: f64) {
        let name = format!("lowest_{}_ms_{name}", cell.work_ms);
        let known = self.extremes.entry(name).or_insert(value);
        *known = known.min(value);
    }

    fn highest(&mut self, name: &str, value: f64) {
        let known = self.extremes.entry(format!("highest_{name}"));
        let known = known.or_insert(value);
        *known = known.max(value);
    }

    fn sum_up(self) {
        for (name, value) in self.extremes {
            self.report.figure(&name, value);
        }
    }
}

/// Parallel Consumer as shipped, and where partitions hold different keys again with a smaller fetch; what was faster.
pub(super) fn peers_backlog(place: &mut Place<'_>, cell: &Cell, records: u64) -> Result<Handled> {
    let mut fetches = vec![0];
    if cell.work_ms > 0 && matches!(cell.keys, Keys::Thousand | Keys::Zipf) {
        fetches.push(SMALL_FETCH);
    }
    let mut best: Option<Handled> = None;
    for fetch_bytes in fetches {
        let handled = place.backlog(cell, records, Whose::Peers { fetch_bytes })?;
        let rate = handled.done.records_per_s();
        eprintln!(
            "  {}, Parallel Consumer, fetches of {fetch_bytes}: {rate:.0}/s, {:.0} at once",
            cell.name(),
            handled.done.at_once_max
        );
        if best
            .as_ref()
            .is_none_or(|best| best.done.records_per_s() < rate)
        {
            best = Some(handled);
        }
    }
    best.ok_or_else(|| "nothing was measured".into())
}
