//! Where a change stands: at the origin ([`Position`]), in a capturer's life ([`Epoch`]) and in a partition ([`Offset`]).

use std::fmt;
use std::str::FromStr;

/// Where a change stands at the origin: the commit's place in the origin's log, then the change's ordinal within its transaction.
///
/// Never the log sequence number of the row alone: several rows share one, and those of concurrent transactions interleave. Commits are totally
/// ordered, ordinals count from 0 inside a commit. Two changes of one origin never share a position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// The commit's place: PostgreSQL's commit LSN, or SQLite's change sequence number.
    pub commit: u64,
    /// The change's place within its transaction.
    pub ordinal: u32,
}

impl Position {
    /// Before every change.
    pub const ZERO: Position = Position {
        commit: 0,
        ordinal: 0,
    };

    /// Beyond every change.
    pub const MAX: Position = Position {
        commit: u64::MAX,
        ordinal: u32::MAX,
    };

    /// A position from its parts.
    pub const fn new(commit: u64, ordinal: u32) -> Self {
        Position { commit, ordinal }
    }

    /// The last position any change of this commit can have.
    pub const fn end_of(commit: u64) -> Self {
        Position {
            commit,
            ordinal: u32::MAX,
        }
    }

    /// The next position: nothing lies between.
    pub const fn successor(self) -> Self {
        match self.ordinal.checked_add(1) {
            Some(ordinal) => Position {
                commit: self.commit,
                ordinal,
            },
            None => Position {
                commit: self.commit.saturating_add(1),
                ordinal: 0,
            },
        }
    }

    /// The position before: nothing lies between. [`Position::ZERO`] stays.
    pub const fn predecessor(self) -> Self {
        match self.ordinal.checked_sub(1) {
            Some(ordinal) => Position {
                commit: self.commit,
                ordinal,
            },
            None if self.commit == 0 => Position::ZERO,
            None => Position::end_of(self.commit - 1),
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{:x}", self.commit, self.ordinal)
    }
}

impl FromStr for Position {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (commit, ordinal) = text.split_once('.').ok_or(())?;
        Ok(Position {
            commit: u64::from_str_radix(commit, 16).map_err(|_| ())?,
            ordinal: u32::from_str_radix(ordinal, 16).map_err(|_| ())?,
        })
    }
}

/// A capturer's life. Higher is younger; taken from a source at the origin that only grows. 0 means "none seen".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub u64);

/// A record's place in its partition, as the log counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Offset(pub u64);

impl Offset {
    /// The offset after this one.
    pub const fn next(self) -> Offset {
        Offset(self.0 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::Position;

    #[test]
    fn nothing_lies_between_a_position_and_its_successor() {
        assert_eq!(Position::new(7, 3).successor(), Position::new(7, 4));
        assert_eq!(Position::end_of(7).successor(), Position::new(8, 0));
        assert_eq!(Position::new(8, 0).predecessor(), Position::end_of(7));
        assert_eq!(Position::ZERO.predecessor(), Position::ZERO);
    }

    #[test]
    fn a_position_survives_its_own_text() {
        for position in [
            Position::ZERO,
            Position::new(u64::MAX, u32::MAX),
            Position::new(0xabc, 1),
        ] {
            assert_eq!(position.to_string().parse(), Ok(position));
        }
        for bad in ["", "1", "x.1", "1.x", "1.1.1"] {
            assert_eq!(bad.parse::<Position>(), Err(()));
        }
    }
}
