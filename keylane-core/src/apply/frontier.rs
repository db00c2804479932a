//! The frontier of a partition: which of its records are done, and the lowest that is not.

use std::collections::VecDeque;

use crate::model::{Offset, Position};
use crate::publish::Acceptance;

/// Room for so many entries is kept.
const ROOM_KEPT: usize = 1024;

/// Records of one partition in offset order, done or not. Memory: one small entry for each record between the lowest not done and the highest known.
#[derive(Clone, Debug)]
pub struct Frontier {
    entries: VecDeque<Entry>,
    end: Offset,
    seen: Position,
    acceptance: Acceptance,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    offset: Offset,
    position: Position,
    before: Acceptance,
    done: bool,
}

impl Frontier {
    /// Everything below `low` is done; `seen` is the highest position up to which everything is below `low`; `acceptance` is the judging's state there.
    pub fn new(low: Offset, seen: Position, acceptance: Acceptance) -> Self {
        Frontier {
            entries: VecDeque::new(),
            end: low,
            seen,
            acceptance,
        }
    }

    /// A record that must be applied was taken in; `after` is the judging's state behind it. Offsets ascend.
    pub fn pending(&mut self, offset: Offset, position: Position, after: Acceptance) {
        debug_assert!(
            offset >= self.end,
            "records are taken in by ascending offset"
        );
        self.entries.push_back(Entry {
            offset,
            position,
            before: self.acceptance,
            done: false,
        });
        self.acceptance = after;
        self.end = offset.next();
        self.seen = self.seen.max(position);
    }

    /// A record that needs nothing (marker, skipped, epoch) was taken in; `position` is where everything up to it is in the partition, if it tells.
    pub fn passed(&mut self, offset: Offset, position: Option<Position>, after: Acceptance) {
        self.acceptance = after;
        self.end = self.end.max(offset.next());
        if let Some(position) = position {
            self.seen = self.seen.max(position);
        }
    }

    /// A record is done.
    pub fn done(&mut self, offset: Offset) {
        if let Ok(index) = self
            .entries
            .binary_search_by_key(&offset, |entry| entry.offset)
            && let Some(entry) = self.entries.get_mut(index)
        {
            entry.done = true;
        }
        while self.entries.front().is_some_and(|entry| entry.done) {
            self.entries.pop_front();
        }
        // What a burst took is given back.
        let (held, room) = (self.entries.len(), self.entries.capacity());
        if room > ROOM_KEPT && held < room / 4 {
            self.entries.shrink_to(ROOM_KEPT.max(2 * held));
        }
    }

    /// The highest offset below which everything is done, and the judging's state there.
    pub fn low(&self) -> (Offset, Acceptance) {
        self.entries
            .front()
            .map_or((self.end, self.acceptance), |entry| {
                (entry.offset, entry.before)
            })
    }

    /// The next offset to take in.
    pub fn end(&self) -> Offset {
        self.end
    }

    /// The lowest position that may be unapplied in this partition: everything below it is applied.
    pub fn unapplied_from(&self) -> Position {
        self.entries
            .front()
            .map_or(self.seen.successor(), |entry| entry.position)
    }

    /// Everything up to here, as far as this partition goes, was taken in.
    pub fn seen(&self) -> Position {
        self.seen
    }

    /// Entries held: records between the lowest not done and the highest known.
    pub fn span(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frontier_stands_at_the_lowest_record_that_is_not_done() {
        let at = |commit| Position::new(commit, 0);
        let mut frontier = Frontier::new(Offset(0), Position::ZERO, Acceptance::default());
        for number in 0..4 {
            let after = Acceptance {
                reached: at(10 + number),
                ..Acceptance::default()
            };
            frontier.pending(Offset(number), at(10 + number), after);
        }
        frontier.done(Offset(1));
        assert_eq!(frontier.low().0, Offset(0));
        frontier.done(Offset(0));
        assert_eq!(frontier.low().0, Offset(2));
        assert_eq!(frontier.low().1.reached, at(11));
        assert_eq!(frontier.unapplied_from(), at(12));
        frontier.passed(
            Offset(4),
            Some(at(20)),
            Acceptance {
                reached: at(20),
                ..Acceptance::default()
            },
        );
        frontier.done(Offset(3));
        frontier.done(Offset(2));
        assert_eq!(frontier.low().0, Offset(5));
        assert_eq!(frontier.unapplied_from(), at(20).successor());
    }
}
