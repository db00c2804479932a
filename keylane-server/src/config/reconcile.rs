//! `reconcile`: when a pipeline's tables are compared by themselves, and what is mended then.

use std::time::Duration;

use chrono::DateTime;
use croner::Cron;
use keylane_core::reconcile::Method;

use super::code::Code;
use super::keys::{Absent, DAY_MS, HOUR_MS, Key, SECOND_MS, Takes};
use super::lists;
use super::reader::{Block, Read};
use super::tables::{self, TablePattern};

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "schedules",
        takes: Takes::Texts("cron expressions of five fields in UTC, such as \"0 3 * * *\""),
        absent: Absent::Means("nothing is compared by itself"),
        means: "When `keylane run` compares the pipeline's tables: minute, hour, day, month, weekday. A time that was missed is made up for once. One process of a machine does it; with appliers on several machines, write it in the configuration of one.",
    },
    Key {
        name: "tables",
        takes: Takes::Texts("patterns such as orders or billing.*"),
        absent: Absent::Means("all tables of the pipeline"),
        means: "The tables that are compared.",
    },
    Key {
        name: "window",
        takes: Takes::Duration {
            min_ms: 60 * SECOND_MS,
            max_ms: 7 * DAY_MS,
        },
        absent: Absent::Default("24h"),
        means: "How long a run may take. One that is not done then stops, and goes on at the next time.",
    },
    Key {
        name: "load_percent",
        takes: Takes::Count { min: 1, max: 100 },
        absent: Absent::Default("100"),
        means: "The part of the time in which the databases are read; the rest they are left alone.",
    },
    Key {
        name: "method",
        takes: Takes::Word(&["auto", "rows", "checksums"]),
        absent: Absent::Default("auto"),
        means: "How rows are compared. `rows`: they are read from both sides. `checksums`: two PostgreSQL databases add them up, and they are read only where that differs; it costs the databases more and the network next to nothing. `auto`: what is faster, as it is measured along the way.",
    },
    Key {
        name: "mark_within",
        takes: Takes::Duration {
            min_ms: SECOND_MS,
            max_ms: HOUR_MS,
        },
        absent: Absent::Default("60s"),
        means: "How long a mark may take through the pipeline before differences are left unproved.",
    },
    Key {
        name: "repair",
        takes: Takes::Texts("patterns such as orders or billing.*; \"*\" for all"),
        absent: Absent::Means("nothing is repaired by itself"),
        means: "The tables of which what is proved to differ is written as the origin has it.",
    },
    Key {
        name: "max_rows",
        takes: Takes::Count {
            min: 0,
            max: 1_000_000_000,
        },
        absent: Absent::Default("10000"),
        means: "Rows of a table that are repaired at most; if more differ, none is.",
    },
    Key {
        name: "max_share_percent",
        takes: Takes::Count { min: 0, max: 100 },
        absent: Absent::Default("10"),
        means: "The share of a table's rows that is repaired at most, for tables of 1,000 rows and more; if more differ, none is.",
    },
];

/// When to compare, as cron has it, in UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule(String);

impl Schedule {
    /// A schedule of five fields; `None` if it is not one.
    pub fn new(text: &str) -> Option<Schedule> {
        let five = text.split_whitespace().count() == 5;
        let is_one = five && text.parse::<Cron>().is_ok();
        is_one.then(|| Schedule(text.to_owned()))
    }

    /// Its next time behind this one, microseconds since 1970; `None` if there is none, such as on the 30th of February.
    pub fn next_us(&self, behind_us: i64) -> Option<i64> {
        let cron: Cron = self.0.parse().ok()?;
        let behind = DateTime::from_timestamp_micros(behind_us)?;
        let next = cron.find_next_occurrence(&behind, false).ok()?;
        Some(next.timestamp_micros())
    }
}

/// When a pipeline's tables are compared by themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reconcile {
    /// When; empty: never.
    pub schedules: Vec<Schedule>,
    /// Which tables; empty: all.
    pub tables: Vec<TablePattern>,
    /// How long a run may take.
    pub window: Duration,
    /// The part of the time in which the databases are read, 1 to 100.
    pub load_percent: u32,
    /// Whether rows are read, or added up in the databases.
    pub method: Method,
    /// How long a mark may take.
    pub mark_within: Duration,
    /// Tables that are repaired.
    pub repair: Vec<TablePattern>,
    /// Rows that are repaired at most.
    pub max_rows: u64,
    /// Their share at most, 0 to 100.
    pub max_share_percent: u32,
}

pub(super) fn read(block: &Block<'_>) -> Read<Reconcile> {
    let schedules = block.texts("schedules").and_then(|texts| {
        lists::all(texts.into_iter().map(|text| {
            let fault = "is not a time of cron's five fields";
            Schedule::new(&text.value)
                .ok_or_else(|| block.bad(Code::BadValue, "schedules", &text, fault))
        }))
    });
    let tables = tables::patterns(block, "tables");
    let repair = tables::patterns(block, "repair");
    let (window, mark_within) = (block.duration("window"), block.duration("mark_within"));
    let load_percent = block.count("load_percent");
    let methods = [Method::Auto, Method::Rows, Method::Checksums];
    let method = block.choice("method", &methods);
    let max_rows = block.count("max_rows");
    let max_share_percent = block.count("max_share_percent");
    let alone = |patterns: Vec<(TablePattern, _)>| {
        let patterns = patterns.into_iter();
        patterns.map(|(pattern, _)| pattern).collect()
    };
    Ok(Reconcile {
        schedules: schedules?,
        tables: alone(tables?),
        window: window?,
        load_percent: load_percent?,
        method: method?,
        mark_within: mark_within?,
        repair: alone(repair?),
        max_rows: max_rows?,
        max_share_percent: max_share_percent?,
    })
}

#[cfg(test)]
mod tests {
    use super::Schedule;

    #[test]
    fn a_schedule_is_crons_five_fields_in_utc() {
        let us = |text: &str| {
            let at = humantime::parse_rfc3339(text).expect("a time");
            let since = at
                .duration_since(std::time::UNIX_EPOCH)
                .expect("after 1970");
            i64::try_from(since.as_micros()).expect("it fits")
        };
        for (schedule, behind, next) in [
            ("0 3 * * *", "2026-11-27T02:59:59Z", "2026-11-27T03:00:00Z"),
            ("0 3 * * *", "2026-11-27T03:00:00Z", "2026-11-28T03:00:00Z"),
            (
                "*/15 * * * *",
                "2026-11-27T03:01:00Z",
                "2026-11-27T03:15:00Z",
            ),
            ("30 1 * * 0", "2026-11-27T00:00:00Z", "2026-11-29T01:30:00Z"),
            ("0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
        ] {
            let read = Schedule::new(schedule).expect(schedule);
            assert_eq!(read.next_us(us(behind)), Some(us(next)), "{schedule}");
        }
        for wrong in [
            "",
            "hourly",
            "0 3 * *",
            "61 * * * *",
            "0 0 3 * * *",
            "@daily",
        ] {
            assert_eq!(Schedule::new(wrong), None, "{wrong}");
        }
    }
}
