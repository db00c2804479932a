//! Where Debezium says a change stands, and what that is worth.

use keylane_core::model::Position;

/// Debezium's own position of a change, from its `source` block (PostgreSQL connector).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DebeziumPosition {
    /// Whether the row was read by a snapshot: it then has no place in the stream.
    pub snapshot: bool,
    /// The commit before this change's transaction, from `source.sequence`; `None` for the first transaction and where the connector writes none.
    pub last_commit: Option<u64>,
    /// The change's own place in the origin's log. Rows written together (COPY) share one.
    pub lsn: Option<u64>,
    /// Whether `source.sequence` was there.
    pub sequenced: bool,
    /// 1 for the second half of a key change (an insert), which shares the first half's place.
    pub half: u8,
}

/// What can be promised for a topic's changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Guarantee {
    /// Each change takes effect once: what the connector wrote again after a restart is known by its place and skipped, and the rest is idempotent by key.
    EffectivelyOnce,
    /// What is written again is applied again; by key the end is the same, but a row may step back for a moment.
    IdempotentByKey,
    /// No key: what is written again is there twice.
    AtLeastOnce,
}

/// Log records are aligned to 8 bytes, so the last bits of a place say nothing; two numbers are needed for each place (see `half`).
const PLACES_PER_BYTE: (i128, i128) = (2, 8);

impl DebeziumPosition {
    /// What holds for a table with (`keyed`) or without a row key.
    pub fn guarantee(&self, keyed: bool) -> Guarantee {
        let placed = self.snapshot || (self.sequenced && self.lsn.is_some());
        match (keyed, placed) {
            (true, true) => Guarantee::EffectivelyOnce,
            (true, false) => Guarantee::IdempotentByKey,
            (false, _) => Guarantee::AtLeastOnce,
        }
    }

    /// Whether this change comes before one that was already taken from the same partition: it was written again. A snapshot's row never does; a change at
    /// the same place does not either, because rows written together share it (they are idempotent by key).
    pub fn is_replay_after(&self, reached: &DebeziumPosition) -> bool {
        !self.snapshot && !reached.snapshot && self.place() < reached.place()
    }

    /// The place as one position, in commit order: the commit before the transaction, then the distance from it.
    ///
    /// Exact for changes within 8 GiB of log around the commit before their transaction; farther ones share the outermost place. A snapshot's row, and a
    /// change without any place, stands at the beginning.
    pub fn place(&self) -> Position {
        let (false, Some(lsn)) = (self.snapshot, self.lsn) else {
            return Position::new(0, 1);
        };
        let commit = self.last_commit.unwrap_or(0);
        if !self.sequenced {
            return Position::new(lsn, u32::from(self.half));
        }
        let (places, bytes) = PLACES_PER_BYTE;
        let away = (i128::from(lsn) - i128::from(commit)) * places / bytes;
        let middle = i128::from(u32::MAX / 2) & !1;
        let ordinal = (middle + (away & !1) + i128::from(self.half)).clamp(1, u32::MAX.into());
        Position::new(commit, u32::try_from(ordinal).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(last_commit: u64, lsn: u64, half: u8) -> DebeziumPosition {
        DebeziumPosition {
            snapshot: false,
            last_commit: Some(last_commit),
            lsn: Some(lsn),
            sequenced: true,
            half,
        }
    }

    #[test]
    fn places_are_in_commit_order_even_when_transactions_ran_side_by_side() {
        // The second transaction began before the first one committed.
        let ordered = [
            at(100, 104, 0),
            at(100, 104, 1),
            at(100, 112, 0),
            at(200, 120, 0),
            at(200, 208, 0),
            at(300, 128, 0),
        ];
        for (earlier, later) in ordered.iter().zip(ordered.iter().skip(1)) {
            assert!(earlier.place() < later.place(), "{earlier:?} {later:?}");
            assert!(earlier.is_replay_after(later));
            assert!(!later.is_replay_after(earlier));
        }
    }

    #[test]
    fn rows_that_share_a_place_are_not_replays_of_each_other_and_a_snapshots_row_never_is() {
        let row = at(100, 104, 0);
        assert!(!row.is_replay_after(&row));
        let read = DebeziumPosition {
            snapshot: true,
            ..row
        };
        assert!(!read.is_replay_after(&at(u64::MAX, u64::MAX, 1)));
        assert!(read.place() > Position::ZERO);
    }

    #[test]
    fn the_guarantee_depends_on_key_and_sequence() {
        let placed = at(1, 2, 0);
        let bare = DebeziumPosition::default();
        assert_eq!(placed.guarantee(true), Guarantee::EffectivelyOnce);
        assert_eq!(bare.guarantee(true), Guarantee::IdempotentByKey);
        assert_eq!(placed.guarantee(false), Guarantee::AtLeastOnce);
    }
}
