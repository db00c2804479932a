//! The sound variants and the short cuts.

use super::world;
use crate::suite::{Expect, Simulation, Variant};

/// The simulation.
pub const SIMULATION: Simulation = Simulation {
    name: "road",
    variants: &[
        sound("folded"),
        sound("unfolded"),
        sound("snapshot"),
        sound("forbidden_states"),
        mutant("no_fence"),
        mutant("offset_before_rows"),
        mutant("offset_after_rows"),
        mutant("skip_by_commit"),
        mutant("tail_not_read"),
        mutant("window_ignored"),
        mutant("copy_begins_unstored"),
        mutant("copy_begins_unchecked"),
        mutant("copied_stored_early"),
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
}

impl Rules {
    pub(super) fn of(variant: &str) -> Rules {
        let is = |name| variant == name;
        Rules {
            snapshot: [
                "snapshot",
                "window_ignored",
                "copy_begins_unstored",
                "copy_begins_unchecked",
                "copied_stored_early",
            ]
            .contains(&variant),
            forbidden_states: is("forbidden_states"),
            unfolded: !is("folded") && !is("snapshot"),
            no_fence: is("no_fence"),
            offset_before_rows: is("offset_before_rows"),
            offset_after_rows: is("offset_after_rows"),
            skip_by_commit: is("skip_by_commit"),
            tail_not_read: is("tail_not_read"),
            window_ignored: is("window_ignored"),
            copy_begins_unstored: is("copy_begins_unstored"),
            copy_begins_unchecked: is("copy_begins_unchecked"),
            copied_stored_early: is("copied_stored_early"),
        }
    }

    /// Whether the replica checks owner and offset in the transaction.
    pub(super) fn checks(self) -> bool {
        !(self.no_fence || self.offset_before_rows || self.offset_after_rows)
    }
}

const fn sound(name: &'static str) -> Variant {
    Variant {
        name,
        expect: Expect::Holds,
    }
}

const fn mutant(name: &'static str) -> Variant {
    Variant {
        name,
        expect: Expect::Caught,
    }
}
