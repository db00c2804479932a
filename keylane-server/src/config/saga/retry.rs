//! `retry`: how a step's commands are repeated.

use keylane_core::saga::{MS_MAX, Retry};

use crate::config::keys::{Absent, Key, Takes};
use crate::config::reader::{Block, Read};

pub(super) const TIME: Takes = Takes::Duration {
    min_ms: 1,
    max_ms: MS_MAX,
};
pub(super) const MS: Takes = Takes::Count {
    min: 1,
    max: MS_MAX,
};
pub(super) const SAME_IN_MS: &str = "The same as a number of milliseconds, as in JSON.";

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "answer",
        takes: TIME,
        absent: Absent::Default("10s"),
        means: "How long an attempt waits for its answer.",
    },
    Key {
        name: "answer_ms",
        takes: MS,
        absent: Absent::Means("`answer`"),
        means: SAME_IN_MS,
    },
    Key {
        name: "first",
        takes: TIME,
        absent: Absent::Default("200ms"),
        means: "The first pause.",
    },
    Key {
        name: "first_ms",
        takes: MS,
        absent: Absent::Means("`first`"),
        means: SAME_IN_MS,
    },
    Key {
        name: "factor",
        takes: Takes::Text("a number from 1"),
        absent: Absent::Default("2"),
        means: "What each pause is multiplied by for the next.",
    },
    Key {
        name: "cap",
        takes: TIME,
        absent: Absent::Default("30s"),
        means: "The longest pause; at least `first`.",
    },
    Key {
        name: "cap_ms",
        takes: MS,
        absent: Absent::Means("`cap`"),
        means: SAME_IN_MS,
    },
    Key {
        name: "jitter",
        takes: Takes::Text("a number from 0 to 1"),
        absent: Absent::Default("0.2"),
        means: "The share of a pause that chance may take off it.",
    },
    Key {
        name: "attempts_max",
        takes: Takes::Count {
            min: 1,
            max: u32::MAX as u64,
        },
        absent: Absent::Means("no number"),
        means: "After so many attempts an action without a verdict is given up. Not for a retriable step.",
    },
];

/// The block of a step, written or not.
pub(super) fn read(step: &Block<'_>) -> Read<Retry> {
    let block = step.block("retry")?;
    let usual = Retry::default();
    let answer_ms = block.ms("answer", "answer_ms");
    let first_ms = block.ms("first", "first_ms");
    let factor = block.number("factor");
    let cap_ms = block.ms("cap", "cap_ms");
    let jitter = block.number("jitter");
    let attempts_max = block.whole("attempts_max");
    Ok(Retry {
        answer_ms: answer_ms?.unwrap_or(usual.answer_ms),
        first_ms: first_ms?.unwrap_or(usual.first_ms),
        factor: factor?.unwrap_or(usual.factor),
        cap_ms: cap_ms?.unwrap_or(usual.cap_ms),
        jitter: jitter?.unwrap_or(usual.jitter),
        attempts_max: attempts_max?,
    })
}
