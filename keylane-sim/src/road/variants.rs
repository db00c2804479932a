//! The sound variants and the short cuts.

use super::world;
use crate::suite::{Simulation, mutant, sound};

/// The simulation.
pub const SIMULATION: Simulation = Simulation {
    name: "road",
    variants: &[
        sound("folded"),
        sound("unfolded"),
        sound("snapshot"),
        sound("forbidden_states"),
        sound("group"),
        sound("shared_topic"),
        sound("restored"),
        sound("restored_in_place"),
        mutant("no_fence"),
        mutant("offset_before_rows"),
        mutant("offset_after_rows"),
        mutant("skip_by_commit"),
        mutant("tail_not_read"),
        mutant("window_ignored"),
        mutant("copy_begins_unstored"),
        mutant("copy_begins_unchecked"),
        mutant("copied_stored_early"),
        mutant("external_ignored"),
        mutant("given_up_forgotten"),
        mutant("named_gives_up"),
        mutant("zombie_believed"),
        mutant("read_first"),
        mutant("shared_buffer"),
        mutant("restored_unseen"),
        mutant("restored_marked"),
    ],
    size: 30,
    run: world::run,
};

/// What a variant makes of the rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rules {
    pub snapshot: bool,
    /// The origin's transactions pass through states that the replica's constraints forbid.
    pub forbidden_states: bool,
    pub unfolded: bool,
    pub no_fence: bool,
    pub offset_before_rows: bool,
    pub offset_after_rows: bool,
    pub skip_by_commit: bool,
    pub tail_not_read: bool,
    pub window_ignored: bool,
    pub copy_begins_unstored: bool,
    pub copy_begins_unchecked: bool,
    pub copied_stored_early: bool,
    /// Children go into their parents' topic, and so does what has no key.
    pub shared_topic: bool,
    /// Several processes apply, and partitions move between them.
    pub group: bool,
    /// What others hold does not count.
    pub external_ignored: bool,
    /// What was given up does not count until the next look.
    pub given_up_forgotten: bool,
    /// A fenced process gives the partition up even if the group still names it.
    pub named_gives_up: bool,
    /// A process that does not know yet that a partition is another's is believed.
    pub zombie_believed: bool,
    /// Progress is read before the fence, and transactions check the owner alone.
    pub read_first: bool,
    /// One buffer for all partitions of a process.
    pub shared_buffer: bool,
    /// The replica is restored from an older backup, now and then.
    pub restored: bool,
    /// And no connection is lost by it.
    pub in_place: bool,
    /// Who lost its connection goes on without a look.
    pub unseen: bool,
    /// A low mark is saved whatever is held.
    pub marked: bool,
}

impl Rules {
    pub(super) fn of(variant: &str) -> Rules {
        let is = |name| variant == name;
        Rules {
            snapshot: [
                "snapshot",
                "shared_topic",
                "window_ignored",
                "copy_begins_unstored",
                "copy_begins_unchecked",
                "copied_stored_early",
            ]
            .contains(&variant),
            forbidden_states: is("forbidden_states"),
            shared_topic: is("shared_topic"),
            unfolded: !is("folded") && !is("snapshot") && !is("shared_topic"),
            no_fence: is("no_fence"),
            offset_before_rows: is("offset_before_rows"),
            offset_after_rows: is("offset_after_rows"),
            skip_by_commit: is("skip_by_commit"),
            tail_not_read: is("tail_not_read"),
            window_ignored: is("window_ignored"),
            copy_begins_unstored: is("copy_begins_unstored"),
            copy_begins_unchecked: is("copy_begins_unchecked"),
            copied_stored_early: is("copied_stored_early"),
            group: [
                "group",
                "shared_topic",
                "external_ignored",
                "given_up_forgotten",
                "named_gives_up",
                "zombie_believed",
                "read_first",
                "shared_buffer",
                "restored",
                "restored_in_place",
                "restored_unseen",
                "restored_marked",
            ]
            .contains(&variant),
            external_ignored: is("external_ignored"),
            given_up_forgotten: is("given_up_forgotten"),
            named_gives_up: is("named_gives_up"),
            zombie_believed: is("zombie_believed"),
            read_first: is("read_first"),
            shared_buffer: is("shared_buffer"),
            restored: variant.starts_with("restored"),
            in_place: is("restored_in_place") || is("restored_marked"),
            unseen: is("restored_unseen"),
            marked: is("restored_marked"),
        }
    }

    /// Whether the replica checks owner and offset in the transaction.
    pub(super) fn checks(self) -> bool {
        self.saves() && !self.zombie_believed
    }

    /// Whether partitions' progress as a whole is saved now and then.
    pub(super) fn saves(self) -> bool {
        !(self.no_fence || self.offset_before_rows || self.offset_after_rows)
    }
}
