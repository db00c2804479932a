//! How the rows of a range are compared: read from both sides, or added up in both databases and read only where the sums differ.
//!
//! Reading costs the databases less; checksums spare the network. Which is faster is measured, not guessed.

use std::time::Duration;

/// What is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// Whatever is faster, as it is measured along the way.
    #[default]
    Auto,
    /// All rows are read.
    Rows,
    /// Rows are read where the checksums over them differ.
    Checksums,
}

/// How a range is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Its rows are read.
    Rows,
    /// They are added up first.
    Checksums,
}

/// What a measurement changed: rows for each second by checksums, and by reading them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Changed {
    /// How ranges are compared from here on.
    pub to: How,
    /// By checksums.
    pub checksums_per_second: f64,
    /// By reading them.
    pub rows_per_second: f64,
}

/// Chooses how the next range is compared.
#[derive(Clone, Debug)]
pub struct Choice {
    /// `None`: there is none.
    measured: Option<Measured>,
    how: How,
}

#[derive(Clone, Debug, Default)]
struct Measured {
    /// Rows for each second, of the latest ranges; 0: not known.
    rows: f64,
    checksums: f64,
    /// What was faster when both were measured.
    best: Option<How>,
    /// How the other way is tried: so many ranges are left.
    trial: u32,
    /// How long it went on as it does since.
    since: Duration,
}

/// Nobody waits for a table that is read in less.
const FIRST_TRIAL_AFTER: Duration = Duration::from_secs(2);
/// What was slower is tried again, since networks and databases are busy by turns.
const TRIAL_EVERY: Duration = Duration::from_secs(60);
/// The first ranges of a trial only find their size.
const TRIAL_RANGES: u32 = 4;
/// Checksums cost the databases several times as much, so they must be worth it.
const CHECKSUMS_FASTER_BY: f64 = 1.5;

impl Choice {
    /// `has_checksums`: whether both databases can add the table's rows up.
    pub fn new(asked: Method, has_checksums: bool) -> Self {
        let how = match (asked, has_checksums) {
            (Method::Checksums, true) => How::Checksums,
            _ => How::Rows,
        };
        let measures = asked == Method::Auto && has_checksums;
        Choice {
            measured: measures.then(Measured::default),
            how,
        }
    }

    /// How the next range is to be compared.
    pub fn how(&self) -> How {
        self.how
    }

    /// A range of so many rows took so long. Tells when ranges are compared in another way from here on than before the last trial.
    pub fn took(&mut self, how: How, rows: u64, time: Duration) -> Option<Changed> {
        let measured = self.measured.as_mut()?;
        if rows == 0 || time.is_zero() {
            return None;
        }
        let rate = rows as f64 / time.as_secs_f64();
        match how {
            How::Rows => measured.rows = rate,
            How::Checksums => measured.checksums = rate,
        }
        let best = measured.best.unwrap_or(How::Rows);
        if measured.trial == 0 {
            measured.since += time;
            let wait = match measured.best {
                None => FIRST_TRIAL_AFTER,
                Some(_) => TRIAL_EVERY,
            };
            if measured.since >= wait {
                measured.trial = TRIAL_RANGES;
                self.how = other(best);
            }
            return None;
        }
        if how != self.how {
            return None;
        }
        measured.trial -= 1;
        if measured.trial > 0 {
            return None;
        }
        let better = match measured.checksums > measured.rows * CHECKSUMS_FASTER_BY {
            true => How::Checksums,
            false => How::Rows,
        };
        measured.since = Duration::ZERO;
        measured.best = Some(better);
        self.how = better;
        (better != best).then_some(Changed {
            to: better,
            checksums_per_second: measured.checksums,
            rows_per_second: measured.rows,
        })
    }
}

fn other(how: How) -> How {
    match how {
        How::Rows => How::Checksums,
        How::Checksums => How::Rows,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares ranges of 1,000 rows at these rates for so many seconds; how they were compared, and what changed.
    fn run(choice: &mut Choice, rates: (u64, u64), seconds: u64) -> (u64, u64, Vec<How>) {
        let (mut by_rows, mut by_checksums, mut changes) = (0, 0, Vec::new());
        let mut left = Duration::from_secs(seconds);
        while !left.is_zero() {
            let how = choice.how();
            let rate = match how {
                How::Rows => rates.0,
                How::Checksums => rates.1,
            };
            let took = Duration::from_secs_f64(1000.0 / rate as f64);
            match how {
                How::Rows => by_rows += 1,
                How::Checksums => by_checksums += 1,
            }
            changes.extend(choice.took(how, 1000, took).map(|it| it.to));
            left = left.saturating_sub(took);
        }
        (by_rows, by_checksums, changes)
    }

    #[test]
    fn what_is_asked_for_is_done_where_it_can_be() {
        for (asked, has_checksums, expect) in [
            (Method::Checksums, true, How::Checksums),
            (Method::Checksums, false, How::Rows),
            (Method::Rows, true, How::Rows),
        ] {
            let mut choice = Choice::new(asked, has_checksums);
            let (_, _, changes) = run(&mut choice, (1000, 1000), 100);
            assert_eq!((choice.how(), changes), (expect, vec![]), "{asked:?}");
        }
    }

    #[test]
    fn a_slow_network_leads_to_checksums_and_a_quick_one_back() {
        let mut choice = Choice::new(Method::Auto, true);
        let (by_rows, by_checksums, changes) = run(&mut choice, (2000, 200_000), 30);
        assert_eq!(changes, [How::Checksums]);
        assert!(
            by_rows <= 5 && by_checksums > 4000,
            "{by_rows} {by_checksums}"
        );
        let (_, _, changes) = run(&mut choice, (400_000, 200_000), 120);
        assert_eq!((choice.how(), changes), (How::Rows, vec![How::Rows]));
    }

    #[test]
    fn on_a_quick_network_rows_are_read_but_for_a_few_trials() {
        let mut choice = Choice::new(Method::Auto, true);
        let (by_rows, by_checksums, changes) = run(&mut choice, (400_000, 200_000), 300);
        assert_eq!(changes, []);
        assert!(
            by_checksums <= 24 && by_rows > 100_000,
            "{by_rows} {by_checksums}"
        );
    }

    #[test]
    fn a_small_table_is_read_without_a_trial() {
        let mut choice = Choice::new(Method::Auto, true);
        let (_, by_checksums, _) = run(&mut choice, (1000, 1000), 1);
        assert_eq!(by_checksums, 0);
    }

    #[test]
    fn what_was_read_ahead_ends_no_trial() {
        let mut choice = Choice::new(Method::Auto, true);
        choice.took(How::Rows, 1000, Duration::from_secs(3));
        assert_eq!(choice.how(), How::Checksums);
        choice.took(How::Rows, 1000, Duration::from_secs(3));
        assert_eq!(choice.how(), How::Checksums);
    }
}
