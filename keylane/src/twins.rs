//! Two processes that join a group under one name: each throws the other out, so one has to go.

use std::time::Duration;

use keylane_core::publish::{LogError, LogErrorKind};

/// How often in a row another process may take this member's name. A member can also be told so by itself, when a broker dies under its join: so the first
/// times it joins again.
const REPLACED_MAX: u32 = 3;
/// How long this member must then keep its name for that to be forgotten.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// Counts how often this process's name in the group was taken.
#[derive(Debug, Default)]
pub(crate) struct Twins {
    replaced: u32,
}

impl Twins {
    /// A membership that lasted `lasted` ended with `error`. `true` if this process is to give way.
    pub(crate) fn give_way(&mut self, error: &LogError, lasted: Duration) -> bool {
        if error.kind != LogErrorKind::Replaced {
            return false;
        }
        self.replaced = match lasted > FORGOTTEN {
            true => 1,
            false => self.replaced + 1,
        };
        self.replaced >= REPLACED_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_replaced_again_and_again_gives_way_and_what_was_long_ago_is_forgotten() {
        let error = |kind| LogError::new(kind, "");
        let replaced = error(LogErrorKind::Replaced);
        let (short, long) = (Duration::from_secs(1), FORGOTTEN * 2);
        let mut twins = Twins::default();
        assert!(!twins.give_way(&replaced, short));
        assert!(!twins.give_way(&error(LogErrorKind::Unreachable), short));
        assert!(!twins.give_way(&replaced, short));
        assert!(!twins.give_way(&replaced, long), "forgotten");
        assert!(!twins.give_way(&replaced, short));
        assert!(twins.give_way(&replaced, short));
    }
}
