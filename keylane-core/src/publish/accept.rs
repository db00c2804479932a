//! Which records of a partition count. The same rule on both ends: a starting capturer reads a partition's tail by it, an applier reads the
//! partition by it, so both agree on what was published.
//!
//! An [`RecordKind::Open`] record with a higher number makes its epoch current; data of any other epoch is skipped. What a former capturer flushes late
//! lands behind its successor's open record and has no effect. Checked exhaustively by random model in `keylane-sim` (`capture_epoch`).

use crate::model::{Epoch, Offset, Position};

use super::{Header, RecordKind};

/// What an accepted or skipped record means to its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It counts.
    Take,
    /// It opened an epoch; nothing to apply.
    Opened,
    /// It is of an epoch that is not the current one.
    Stale,
    /// Its position is at or below one already in the partition: a replay.
    Replay,
}

/// The state of reading one partition: the current epoch and how far its accepted records reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Acceptance {
    /// The current epoch.
    pub epoch: Epoch,
    /// The highest position of an accepted change or marker.
    pub reached: Position,
}

impl Acceptance {
    /// Judges the next record of the partition.
    pub fn judge(&mut self, header: &Header) -> Verdict {
        if header.kind == RecordKind::Open {
            if header.epoch > self.epoch {
                self.epoch = header.epoch;
                return Verdict::Opened;
            }
            return Verdict::Stale;
        }
        if header.epoch != self.epoch {
            return Verdict::Stale;
        }
        match header.kind {
            RecordKind::Change if header.position <= self.reached => Verdict::Replay,
            RecordKind::Change | RecordKind::Marker => {
                self.reached = self.reached.max(header.position);
                Verdict::Take
            }
            RecordKind::Tombstone | RecordKind::Schema | RecordKind::State | RecordKind::Open => {
                Verdict::Take
            }
        }
    }
}

/// A true statement about a prefix of a partition, stored so that a restart reads only what lies behind it, and so that a tail which retention has
/// emptied is still known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The prefix ends before this offset.
    pub offset: Offset,
    /// The acceptance at its end.
    pub acceptance: Acceptance,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_former_capturer_flushes_late_does_not_count() {
        let mut acceptance = Acceptance::default();
        let mut judge = |kind, epoch, commit| {
            acceptance.judge(&Header::plain(kind, Epoch(epoch), Position::new(commit, 0)))
        };
        assert_eq!(judge(RecordKind::Change, 1, 1), Verdict::Stale);
        assert_eq!(judge(RecordKind::Open, 1, 0), Verdict::Opened);
        assert_eq!(judge(RecordKind::Change, 1, 1), Verdict::Take);
        assert_eq!(judge(RecordKind::Open, 3, 0), Verdict::Opened);
        assert_eq!(judge(RecordKind::Change, 1, 2), Verdict::Stale);
        assert_eq!(judge(RecordKind::Open, 2, 0), Verdict::Stale);
        assert_eq!(judge(RecordKind::Change, 3, 1), Verdict::Replay);
        assert_eq!(judge(RecordKind::Change, 3, 2), Verdict::Take);
        assert_eq!(judge(RecordKind::Marker, 3, 9), Verdict::Take);
        assert_eq!(judge(RecordKind::Change, 3, 9), Verdict::Replay);
    }
}
