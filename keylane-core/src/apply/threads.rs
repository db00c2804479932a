//! How many threads apply: a number that a person set, or one that is found while they work.
//!
//! Finding it is hill climbing on measured windows, the simplest member of the family that adaptive concurrency limits come from (Netflix's
//! concurrency-limits, TCP Vegas): step, compare, keep or go back. What is looked for is the *fewest* threads that apply as much as more would: each one more
//! holds a connection and makes transactions wait for each other.

use std::fmt;
use std::str::FromStr;

/// The most threads of one process.
pub const THREADS_MAX: u32 = 1024;

/// How many threads apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// This many, 1 to [`THREADS_MAX`].
    Number(u32),
    /// As many as turn out to be of use.
    Auto,
}

impl fmt::Display for Threads {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Threads::Number(number) => write!(formatter, "{number}"),
            Threads::Auto => formatter.write_str("auto"),
        }
    }
}

impl FromStr for Threads {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "auto" {
            return Ok(Threads::Auto);
        }
        let number = text.parse().ok();
        number
            .filter(|number| (1..=THREADS_MAX).contains(number))
            .map(Threads::Number)
            .ok_or_else(|| format!("a number from 1 to {THREADS_MAX}, or `auto`"))
    }
}

/// A number that a person asked for while the pipeline was there, and what the configuration said then: once that says something else, it is the later word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskedThreads {
    /// What was asked for.
    pub threads: Threads,
    /// What the configuration said then.
    pub configured: Threads,
}

impl AskedThreads {
    /// As stored, each as it is displayed. `None` if another version wrote what this one cannot read: then nothing was asked for.
    pub fn read(threads: &str, configured: &str) -> Option<Self> {
        Some(AskedThreads {
            threads: threads.parse().ok()?,
            configured: configured.parse().ok()?,
        })
    }

    /// What holds, with what is configured now.
    pub fn or_configured(asked: Option<AskedThreads>, configured: Threads) -> Threads {
        asked
            .filter(|asked| asked.configured == configured)
            .map_or(configured, |asked| asked.threads)
    }
}

/// What was measured since the last look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Changes applied a second.
    pub rate: f64,
    /// Threads that were working, on average.
    pub busy: f64,
}

/// A larger number is kept if it applies this much more.
const GAIN_MIN: f64 = 1.08;
/// A smaller number is kept if it applies at least this much of it.
const LOSS_MAX: f64 = 0.97;
/// Threads count as fully used above this share.
const USED_MIN: f64 = 0.8;
/// Windows of which a number is judged by the mean; the one in which it changed does not count.
const JUDGED_WINDOWS: u32 = 2;
/// Windows between two tries once nothing better was found; doubled each time, up to the second.
const REST_WINDOWS: (u32, u32) = (4, 64);
/// A light load is followed after this many windows.
const LIGHT_WINDOWS: u32 = 5;

/// Finds a number of threads while they work. Deterministic: what it is told decides.
#[derive(Clone, Debug)]
pub struct AutoThreads {
    current: u32,
    most: u32,
    doing: Doing,
    rest: u32,
    up_next: bool,
    light: u32,
    why: String,
}

#[derive(Clone, Copy, Debug)]
enum Doing {
    /// Measuring the current number; `windows` are left.
    Measuring { windows: u32, sum: f64 },
    /// Trying another number than `from`, which applied `rate` a second.
    Trying {
        from: u32,
        rate: f64,
        windows: u32,
        sum: f64,
    },
    /// Nothing better was found; again after so many windows.
    Resting { windows: u32 },
}

const MEASURE: Doing = Doing::Measuring {
    windows: JUDGED_WINDOWS + 1,
    sum: 0.0,
};

impl AutoThreads {
    /// Starts with a few threads; never more than `most` (at least 1).
    pub fn new(most: u32) -> Self {
        let most = most.clamp(1, THREADS_MAX);
        AutoThreads {
            current: 4.min(most),
            most,
            doing: MEASURE,
            rest: REST_WINDOWS.0,
            up_next: true,
            light: 0,
            why: "measuring".to_owned(),
        }
    }

    /// The number now.
    pub fn current(&self) -> u32 {
        self.current
    }

    /// Why it is that number, in words.
    pub fn why(&self) -> &str {
        &self.why
    }

    /// Takes a window in; [`AutoThreads::current`] is how many threads are to work from now on.
    pub fn look(&mut self, window: Window) {
        if window.busy < f64::from(self.current) * USED_MIN {
            self.lightly_used(window);
        } else {
            self.light = 0;
            self.fully_used(window.rate);
        }
    }

    /// The threads there are suffice: a number that is tried says nothing, and after a while there may be fewer.
    fn lightly_used(&mut self, window: Window) {
        if let Doing::Trying { from, .. } = self.doing
            && from < self.current
        {
            self.current = from;
        }
        self.doing = MEASURE;
        self.light += 1;
        self.why = format!("{:.1} of {} are busy", window.busy, self.current);
        if self.light < LIGHT_WINDOWS {
            return;
        }
        self.light = 0;
        // Twice what is used, so that a burst finds somebody.
        let wanted = (window.busy * 2.0).ceil().max(1.0) as u32 + 1;
        self.current = self.current.min(wanted.max(2)).clamp(1, self.most);
    }

    fn fully_used(&mut self, rate: f64) {
        match self.doing {
            Doing::Measuring { windows, sum } => {
                let (windows, sum) = judged(windows, sum, rate);
                self.doing = Doing::Measuring { windows, sum };
                if windows == 0 {
                    self.try_another(sum / f64::from(JUDGED_WINDOWS));
                }
            }
            Doing::Trying {
                from,
                rate: before,
                windows,
                sum,
            } => {
                let (windows, sum) = judged(windows, sum, rate);
                self.doing = Doing::Trying {
                    from,
                    rate: before,
                    windows,
                    sum,
                };
                if windows == 0 {
                    self.judge(from, before, sum / f64::from(JUDGED_WINDOWS));
                }
            }
            Doing::Resting { windows } => {
                self.doing = match windows.checked_sub(1) {
                    Some(windows) => Doing::Resting { windows },
                    None => MEASURE,
                };
            }
        }
    }

    fn try_another(&mut self, rate: f64) {
        let from = self.current;
        let up = if from <= 4 {
            from * 2
        } else {
            from + from.div_ceil(2)
        };
        let wanted = if self.up_next { up } else { from * 3 / 4 };
        let wanted = wanted.clamp(1, self.most);
        if wanted == from {
            self.up_next = !self.up_next;
            self.doing = MEASURE;
            return;
        }
        self.current = wanted;
        self.why = format!("trying {wanted}: {from} apply {rate:.0}/s");
        self.doing = Doing::Trying {
            from,
            rate,
            windows: JUDGED_WINDOWS + 1,
            sum: 0.0,
        };
    }

    fn judge(&mut self, from: u32, before: f64, after: f64) {
        let tried = self.current;
        let keep = if tried > from {
            after >= before * GAIN_MIN
        } else {
            after >= before * LOSS_MAX
        };
        if keep {
            self.why = format!("{tried} apply {after:.0}/s, {from} applied {before:.0}/s");
            self.rest = REST_WINDOWS.0;
            // The same way again, from what was just measured.
            self.try_another(after);
            return;
        }
        self.current = from;
        self.why = format!("{from} apply {before:.0}/s, {tried} no more than {after:.0}/s");
        if self.up_next {
            // Then fewer, at once.
            self.up_next = false;
            self.doing = MEASURE;
        } else {
            self.up_next = true;
            self.doing = Doing::Resting { windows: self.rest };
            self.rest = (self.rest * 2).min(REST_WINDOWS.1);
        }
    }
}

/// One window less to wait for. The first after a change does not count.
fn judged(windows: u32, sum: f64, rate: f64) -> (u32, f64) {
    let counts = windows <= JUDGED_WINDOWS;
    (
        windows.saturating_sub(1),
        if counts { sum + rate } else { sum },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Windows of a road that applies `rate(threads)` a second under any load, with noise of 2 %.
    fn found(rate: impl Fn(u32) -> f64, most: u32, windows: u32) -> Vec<u32> {
        let mut auto = AutoThreads::new(most);
        let mut noise = 12_345_u64;
        let mut numbers = Vec::new();
        for _ in 0..windows {
            noise = noise
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let factor = 0.98 + (noise >> 40) as f64 / (1u64 << 24) as f64 * 0.04;
            let threads = auto.current();
            numbers.push(threads);
            auto.look(Window {
                rate: rate(threads) * factor,
                busy: f64::from(threads),
            });
        }
        numbers
    }

    /// The number that was worked with most of the time.
    fn usual(numbers: &[u32]) -> u32 {
        let count = |number: &u32| numbers.iter().filter(|other| *other == number).count();
        numbers
            .iter()
            .max_by_key(|number| count(number))
            .copied()
            .unwrap_or(0)
    }

    #[test]
    fn as_many_as_help_and_not_many_more() {
        for best in [1_u32, 2, 3, 6, 16, 40] {
            let flat = |threads: u32| 1000.0 * f64::from(threads.min(best));
            let late = found(flat, 64, 400).split_off(100);
            let usual = usual(&late);
            assert!(
                usual >= best && usual <= best + best.div_ceil(2),
                "{best} are best, {usual} were used"
            );
            let most = late.iter().max().copied().unwrap_or(0);
            assert!(most <= best * 3, "{best} are best, {most} were tried");
        }
    }

    #[test]
    fn fewer_where_more_are_slower() {
        let crowded = |threads: u32| {
            8000.0 * f64::from(threads) / (1.0 + f64::from(threads * threads) / 36.0)
        };
        let usual = usual(&found(crowded, 64, 400).split_off(100));
        assert!((4..=9).contains(&usual), "6 are best, {usual} were used");
    }

    #[test]
    fn never_more_than_allowed_nor_fewer_than_one() {
        let linear = |threads: u32| 1000.0 * f64::from(threads);
        for most in [1, 2, 5, 64] {
            let numbers = found(linear, most, 200);
            assert!(numbers.iter().all(|number| (1..=most).contains(number)));
            // The last few may be too few to tell from noise.
            let usual = usual(&numbers[100..]);
            assert!(
                usual * 10 >= most * 9,
                "{most} are allowed, {usual} were used"
            );
        }
    }

    #[test]
    fn a_light_load_is_followed_and_a_heavy_one_found_again() {
        let mut auto = AutoThreads::new(64);
        let heavy = |auto: &mut AutoThreads| {
            for _ in 0..100 {
                let threads = auto.current();
                auto.look(Window {
                    rate: f64::from(threads.min(16)) * 1000.0,
                    busy: f64::from(threads),
                });
            }
            assert!(auto.current() >= 12, "{}", auto.current());
        };
        heavy(&mut auto);
        for _ in 0..40 {
            auto.look(Window {
                rate: 100.0,
                busy: 0.5,
            });
        }
        assert_eq!(auto.current(), 2);
        assert!(auto.why().contains("0.5 of 2 are busy"), "{}", auto.why());
        heavy(&mut auto);
    }

    #[test]
    fn the_later_word_counts() {
        let (four, auto) = (Threads::Number(4), Threads::Auto);
        let asked = Some(AskedThreads {
            threads: auto,
            configured: four,
        });
        assert_eq!(AskedThreads::or_configured(None, four), four);
        assert_eq!(AskedThreads::or_configured(asked, four), auto);
        let changed = Threads::Number(8);
        assert_eq!(AskedThreads::or_configured(asked, changed), changed);
    }

    #[test]
    fn what_is_typed_is_read_or_refused() {
        assert_eq!("auto".parse(), Ok(Threads::Auto));
        assert_eq!("1".parse(), Ok(Threads::Number(1)));
        assert_eq!("1024".parse(), Ok(Threads::Number(1024)));
        for wrong in ["0", "1025", "-1", "", "Auto", "4.0"] {
            assert!(wrong.parse::<Threads>().is_err(), "{wrong}");
        }
        assert_eq!(Threads::Number(7).to_string(), "7");
        assert_eq!(Threads::Auto.to_string(), "auto");
    }
}
