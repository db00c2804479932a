//! The daily digest: when it is due, and what it tells.

use std::collections::BTreeSet;

use super::message::{Digest, OpenLine, PipelineLine};
use super::state::State;
use super::step::Standing;
use super::subject::{Subject, What};
use super::words;

/// Subjects that are not well which a digest tells one by one; the others are counted.
pub const OPEN_MAX: usize = 20;
const MINUTE_US: i64 = 60_000_000;
const DAY_MINUTES: i64 = 1440;

/// A time of the day, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DailyAt {
    minute: u16,
}

/// Whether a digest is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// None was ever told here: the days are counted from this moment, which is not told.
    First(i64),
    /// The one of this moment.
    Now(i64),
    /// Not yet.
    NotYet,
}

impl DailyAt {
    /// `HH:MM` in UTC, or with an offset: `HH:MM+HH:MM`, `HH:MM-HH:MM`. `None` if it is neither.
    pub fn read(text: &str) -> Option<DailyAt> {
        let (time, ahead) = match text.find(['+', '-']) {
            Some(place) => {
                let (time, offset) = text.split_at(place);
                let minutes = minutes(offset.get(1..)?)?;
                let sign = if offset.starts_with('-') { -1 } else { 1 };
                (time, sign * minutes)
            }
            None => (text, 0),
        };
        let minute = (minutes(time)? - ahead).rem_euclid(DAY_MINUTES);
        let minute = u16::try_from(minute).ok()?;
        Some(DailyAt { minute })
    }

    /// The minute of the day in UTC, 0 to 1439.
    pub fn minute(self) -> u16 {
        self.minute
    }

    /// Whether a digest is due, when the last one was that of `told_us`. One that was missed is told late, and only the last.
    pub fn due(self, told_us: Option<i64>, now_us: i64) -> Due {
        let day_us = DAY_MINUTES * MINUTE_US;
        let offset_us = i64::from(self.minute) * MINUTE_US;
        let due_us = (now_us - offset_us).div_euclid(day_us) * day_us + offset_us;
        match told_us {
            None => Due::First(due_us),
            Some(told) if told < due_us => Due::Now(due_us),
            Some(_) => Due::NotYet,
        }
    }
}

fn minutes(text: &str) -> Option<i64> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |digits: &str, below: i64| {
        let is_number = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        let value: i64 = is_number.then(|| digits.parse().ok()).flatten()?;
        (value < below).then_some(value)
    };
    Some(number(hours, 24)? * 60 + number(minutes, 60)?)
}

/// What the time between two moments came to. Flapping subjects count as what they are now.
pub fn digest(
    (from_us, to_us): (i64, i64),
    pipelines: Vec<PipelineLine>,
    standings: &[(Subject, Standing)],
) -> Digest {
    let mut digest = Digest {
        from_us,
        to_us,
        pipelines,
        ..Digest::default()
    };
    let mut tables = BTreeSet::new();
    for (subject, standing) in standings {
        let day = standing.day;
        if day.runs > 0 && matches!(subject.what, What::Table(_)) {
            tables.insert(subject);
        }
        digest.day += day;
    }
    digest.tables = tables.len() as u64;
    let mut open: Vec<OpenLine> = standings
        .iter()
        .filter(|(_, standing)| standing.told != State::Ok)
        .map(|(subject, standing)| line(subject, standing))
        .collect();
    open.sort_by(|one, other| {
        let worse = other.state.severity().cmp(&one.state.severity());
        worse.then_with(|| one.subject.cmp(&other.subject))
    });
    digest.open_more = open.len().saturating_sub(OPEN_MAX) as u64;
    open.truncate(OPEN_MAX);
    digest.open = open;
    digest
}

fn line(subject: &Subject, standing: &Standing) -> OpenLine {
    let words = standing.last.as_ref().map(words::found);
    OpenLine {
        subject: subject.clone(),
        state: standing.told,
        since_us: standing.told_us,
        runs: standing.runs,
        words: words.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::step::Day;

    const DAY_US: i64 = DAY_MINUTES * MINUTE_US;

    #[test]
    fn a_time_of_the_day_is_read_in_utc_or_with_its_offset() {
        let check = |text: &str, minute: Option<u16>| {
            assert_eq!(DailyAt::read(text).map(DailyAt::minute), minute, "{text}");
        };
        check("09:00", Some(540));
        check("00:00", Some(0));
        check("23:59", Some(1439));
        check("09:00+02:00", Some(420));
        check("01:00+02:00", Some(1380));
        check("20:30-05:30", Some(120));
        for wrong in [
            "", "9:00", "24:00", "09:60", "09", "09:00+2", "noon", "+09:00", "09:0é",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn a_digest_is_due_once_a_day_and_late_where_nobody_was_there() {
        let at = DailyAt::read("09:00").expect("a time");
        let nine = 20_000 * DAY_US + 9 * 60 * MINUTE_US;
        assert_eq!(at.due(None, nine + 5), Due::First(nine));
        assert_eq!(at.due(None, nine - 5), Due::First(nine - DAY_US));
        assert_eq!(at.due(Some(nine), nine + 5), Due::NotYet);
        assert_eq!(at.due(Some(nine), nine + DAY_US - 1), Due::NotYet);
        assert_eq!(at.due(Some(nine), nine + DAY_US), Due::Now(nine + DAY_US));
        let late = nine + 3 * DAY_US + 7;
        assert_eq!(at.due(Some(nine), late), Due::Now(nine + 3 * DAY_US));
    }

    #[test]
    fn a_digest_sums_the_day_and_names_what_is_not_well_the_worst_first() {
        let standing = |told, runs| Standing {
            told,
            day: Day {
                runs,
                repaired: 2,
                ..Day::default()
            },
            ..Standing::new(0)
        };
        let table = |name: &str| Subject {
            pipeline: Some("shop".into()),
            what: What::Table(name.into()),
        };
        let mut standings = vec![
            (table("a"), standing(State::Ok, 3)),
            (table("b"), standing(State::Diverged, 3)),
            (table("c"), standing(State::Stalled, 0)),
        ];
        let told = digest((1, 2), Vec::new(), &standings);
        assert_eq!((told.tables, told.day.runs, told.day.repaired), (2, 6, 6));
        let open: Vec<State> = told.open.iter().map(|line| line.state).collect();
        assert_eq!(open, [State::Stalled, State::Diverged]);
        for number in 0..30 {
            standings.push((table(&format!("x{number}")), standing(State::Diverged, 1)));
        }
        let told = digest((1, 2), Vec::new(), &standings);
        assert_eq!((told.open.len(), told.open_more), (OPEN_MAX, 12));
    }
}
