//! When a participant that does not answer is left in peace, and when it is tried again.
//!
//! After so many attempts in a row that came to nothing it is sent nothing for a while; then one command goes out as a probe. If that is answered everything goes on, else the next pause
//! is longer. Other participants do not notice.

/// From where on, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerTerms {
    /// Attempts in a row that came to nothing.
    pub failures: u32,
    /// The first pause.
    pub first_ms: u64,
    /// The longest pause; each is twice the one before.
    pub cap_ms: u64,
}

impl Default for BreakerTerms {
    fn default() -> Self {
        BreakerTerms {
            failures: 5,
            first_ms: 500,
            cap_ms: 15_000,
        }
    }
}

/// What is known of one participant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Breaker {
    failures: u32,
    pauses: u32,
    until_us: Option<i64>,
    probing: bool,
}

/// Whether a command may go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum May {
    /// It may.
    Go,
    /// It may, as the only one: its answer says how it goes on.
    Probe,
    /// Not now.
    Wait,
}

/// What an attempt came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulse {
    /// Nothing new.
    Same,
    /// It answers again after it did not.
    Back,
    /// It is left in peace from now on.
    Gone,
}

impl Breaker {
    /// Asks for leave to send. Whoever gets it says what came of it, by [`Breaker::answered`], [`Breaker::failed`] or [`Breaker::given_up`].
    pub fn may(&mut self, now_us: i64) -> May {
        match self.until_us {
            None => May::Go,
            Some(until_us) if until_us <= now_us && !self.probing => {
                self.probing = true;
                May::Probe
            }
            Some(_) => May::Wait,
        }
    }

    /// An attempt was answered.
    pub fn answered(&mut self) -> Pulse {
        let was_gone = self.until_us.is_some();
        *self = Breaker::default();
        if was_gone { Pulse::Back } else { Pulse::Same }
    }

    /// An attempt came to nothing.
    pub fn failed(&mut self, terms: BreakerTerms, now_us: i64) -> Pulse {
        self.failures = self.failures.saturating_add(1);
        let is_open = self.until_us.is_some();
        if is_open && !self.probing {
            // It went out before.
            return Pulse::Same;
        }
        if !is_open && self.failures < terms.failures.max(1) {
            return Pulse::Same;
        }
        let doubled = terms.first_ms.saturating_mul(1 << self.pauses.min(20));
        let pause_ms = doubled.min(terms.cap_ms);
        let pause_us = i64::try_from(pause_ms).unwrap_or(i64::MAX / 1000) * 1000;
        self.pauses = self.pauses.saturating_add(1);
        self.until_us = Some(now_us.saturating_add(pause_us));
        self.probing = false;
        if is_open { Pulse::Same } else { Pulse::Gone }
    }

    /// An attempt ended without telling anything of the participant.
    pub fn given_up(&mut self) {
        self.probing = false;
    }

    /// Whether it is left in peace.
    pub fn is_open(&self) -> bool {
        self.until_us.is_some()
    }

    /// Whether nothing may go out, whoever asks.
    pub fn is_shut(&self, now_us: i64) -> bool {
        self.until_us
            .is_some_and(|until_us| self.probing || until_us > now_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: BreakerTerms = BreakerTerms {
        failures: 3,
        first_ms: 100,
        cap_ms: 300,
    };

    fn open() -> Breaker {
        let mut breaker = Breaker::default();
        let heard: Vec<Pulse> = (0..3).map(|_| breaker.failed(TERMS, 0)).collect();
        assert_eq!(heard, [Pulse::Same, Pulse::Same, Pulse::Gone]);
        breaker
    }

    #[test]
    fn a_few_failures_in_a_row_and_not_in_all_leave_it_in_peace() {
        let mut breaker = Breaker::default();
        for _ in 0..10 {
            assert_eq!(breaker.failed(TERMS, 0), Pulse::Same);
            assert_eq!(breaker.failed(TERMS, 0), Pulse::Same);
            assert_eq!(breaker.answered(), Pulse::Same);
        }
        assert_eq!(breaker.may(0), May::Go);
        assert_eq!(open().may(99_999), May::Wait);
    }

    #[test]
    fn one_probe_goes_out_at_a_time_and_pauses_grow_to_a_cap() {
        let mut breaker = open();
        let mut now_us = 0;
        for pause_us in [100_000, 200_000, 300_000, 300_000] {
            assert_eq!(breaker.may(now_us + pause_us - 1), May::Wait);
            now_us += pause_us;
            assert_eq!(breaker.may(now_us), May::Probe);
            assert_eq!(breaker.may(now_us), May::Wait);
            assert_eq!(breaker.failed(TERMS, now_us), Pulse::Same);
        }
    }

    #[test]
    fn an_answered_probe_brings_it_back_and_late_failures_do_not_delay_the_probe() {
        let mut breaker = open();
        assert_eq!(breaker.failed(TERMS, 99_000), Pulse::Same);
        assert_eq!(breaker.may(100_000), May::Probe);
        assert_eq!(breaker.answered(), Pulse::Back);
        assert_eq!(breaker.may(100_000), May::Go);
    }

    #[test]
    fn a_probe_that_was_given_up_leaves_room_for_another() {
        let mut breaker = open();
        assert_eq!(breaker.may(100_000), May::Probe);
        breaker.given_up();
        assert_eq!(breaker.may(100_000), May::Probe);
    }
}
