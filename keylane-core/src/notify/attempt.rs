//! An attempt to send: what an answer means, and when the next attempt is.

/// The first pause, before jitter; doubled each time.
const PAUSE_MS: u64 = 1_000;
/// The longest pause of a message that is not asked for by the receiver.
const PAUSE_MAX_MS: u64 = 300_000;
/// The longest of a channel: shorter, so that another message is tried while one that fails again and again is set aside.
const REST_MAX_MS: u64 = 60_000;
/// A receiver's `Retry-After` is heard up to this.
pub const RETRY_AFTER_MAX_MS: u64 = 86_400_000;

/// What came of an attempt. Words hold neither the URL nor anything of the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was taken: the status line said so, whatever came after it.
    Taken,
    /// Nobody was reached: nothing was sent. It may be taken later.
    Away {
        /// What was in the way.
        why: String,
    },
    /// It was not taken, and may be later: the receiver is overloaded, has an error of its own, or asks to wait.
    Later {
        /// How long the receiver asks to wait.
        after_ms: Option<u64>,
        /// What was answered.
        why: String,
    },
    /// Nobody knows: it was sent, and no status line came. It is sent again, and says that it may have come before.
    Unknown {
        /// What happened instead.
        why: String,
    },
    /// It will never be taken as it is: a mistake of ours, or a channel that is closed. It is kept, and does not hold up others.
    Refused {
        /// What was answered.
        why: String,
    },
}

impl Answer {
    /// Out of an HTTP status; `word` is what the body said, fit to be shown.
    pub fn of_status(status: u16, retry_after_ms: Option<u64>, word: Option<&str>) -> Answer {
        let why = match word {
            Some(word) => format!("HTTP {status}: {word}"),
            None => format!("HTTP {status}"),
        };
        match status {
            200..=299 => Answer::Taken,
            408 | 425 | 429 | 500..=599 => Answer::Later {
                after_ms: retry_after_ms.map(|ms| ms.min(RETRY_AFTER_MAX_MS)),
                why,
            },
            _ => Answer::Refused { why },
        }
    }

    /// What was answered, in words; empty if it was taken.
    pub fn why(&self) -> &str {
        match self {
            Answer::Taken => "",
            Answer::Away { why }
            | Answer::Later { why, .. }
            | Answer::Unknown { why }
            | Answer::Refused { why } => why,
        }
    }

    /// The word that scripts see.
    pub fn word(&self) -> &'static str {
        match self {
            Answer::Taken => "taken",
            Answer::Away { .. } => "away",
            Answer::Later { .. } => "later",
            Answer::Unknown { .. } => "unknown",
            Answer::Refused { .. } => "refused",
        }
    }

    /// The stable code, with a page of its own in `docs/errors`; `None` if it was taken.
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Answer::Taken => None,
            Answer::Away { .. } | Answer::Later { .. } | Answer::Unknown { .. } => {
                Some("KL-NOTIFY-001")
            }
            Answer::Refused { .. } => Some("KL-NOTIFY-002"),
        }
    }
}

/// A message's pause after this many attempts (at least 1). `chance`, from 0 up to 1, is the jitter: half of the pause is by chance, so that many senders do not
/// come back at once. What the receiver asked for is kept to, to the end.
pub fn pause_ms(attempts: u32, asked_ms: Option<u64>, chance: f64) -> u64 {
    capped(attempts, PAUSE_MAX_MS, chance).max(asked_ms.unwrap_or(0))
}

/// A channel's pause after this many failures in a row, whatever messages they were of.
pub fn rest_ms(failures: u32, asked_ms: Option<u64>, chance: f64) -> u64 {
    capped(failures, REST_MAX_MS, chance).max(asked_ms.unwrap_or(0))
}

fn capped(times: u32, max_ms: u64, chance: f64) -> u64 {
    let doubled = PAUSE_MS.saturating_mul(1 << times.saturating_sub(1).min(20));
    let pause = doubled.min(max_ms) as f64;
    (pause * (0.5 + 0.5 * chance.clamp(0.0, 1.0))) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_means_what_its_status_says() {
        let later = |after_ms, why: &str| Answer::Later {
            after_ms,
            why: why.to_owned(),
        };
        let refused = |why: &str| Answer::Refused {
            why: why.to_owned(),
        };
        let check = |status, after, word, expect: Answer| {
            assert_eq!(Answer::of_status(status, after, word), expect);
        };
        check(200, None, Some("ok"), Answer::Taken);
        check(204, None, None, Answer::Taken);
        check(429, Some(7_000), None, later(Some(7_000), "HTTP 429"));
        check(
            429,
            Some(u64::MAX),
            None,
            later(Some(RETRY_AFTER_MAX_MS), "HTTP 429"),
        );
        check(503, None, None, later(None, "HTTP 503"));
        check(
            400,
            None,
            Some("invalid_blocks"),
            refused("HTTP 400: invalid_blocks"),
        );
        check(
            404,
            None,
            Some("no_service"),
            refused("HTTP 404: no_service"),
        );
        check(302, None, None, refused("HTTP 302"));
    }

    #[test]
    fn pauses_grow_to_a_bound_and_what_is_asked_for_is_waited_for() {
        assert_eq!(pause_ms(1, None, 1.0), 1_000);
        assert_eq!(pause_ms(1, None, 0.0), 500);
        assert_eq!(pause_ms(4, None, 1.0), 8_000);
        assert_eq!(pause_ms(u32::MAX, None, 1.0), PAUSE_MAX_MS);
        assert_eq!(pause_ms(1, Some(30_000), 0.5), 30_000);
        assert_eq!(pause_ms(20, Some(1), 1.0), PAUSE_MAX_MS);
        assert_eq!(rest_ms(4, None, 1.0), 8_000);
        assert_eq!(rest_ms(20, None, 1.0), REST_MAX_MS);
        assert_eq!(rest_ms(20, Some(90_000), 1.0), 90_000);
    }
}
