//! The sound variants and the short cuts.

use super::world;
use crate::suite::{Simulation, mutant, sound};

/// The simulation.
pub const SIMULATION: Simulation = Simulation {
    name: "reconcile",
    variants: &[
        sound("prove"),
        sound("mend"),
        mutant("touched_ignored"),
        mutant("mark_not_awaited"),
        mutant("begun_behind_the_read"),
        mutant("ended_before_the_read"),
        mutant("origin_read_first"),
        mutant("no_fence"),
        mutant("compare_and_set"),
        mutant("proof_not_level"),
        mutant("mending_not_level"),
    ],
    size: 40,
    run: world::run,
};

/// What a variant makes of the rules.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Rows go wrong by rogue writes and lost records; if not, all that is wrong in the end was made so by mending.
    pub goes_wrong: bool,
    /// Any row is mended, not only what is proved.
    pub mends_any: bool,
    pub touched_ignored: bool,
    pub mark_not_awaited: bool,
    pub begun_behind_the_read: bool,
    pub ended_before_the_read: bool,
    pub mending: Mending,
    /// The origin is read without a mark before.
    pub not_level: bool,
}

/// In which order a row is mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mending {
    /// The fence, the origin's row, the write.
    Fenced,
    /// The origin's row, then the fence and the write.
    OriginFirst,
    /// The origin's row, the replica's, the write; no fence.
    Unfenced,
    /// As that, and the write only if the replica's row is still as it was read.
    CompareAndSet,
}

impl Rules {
    pub(super) fn of(variant: &str) -> Rules {
        let mending = match variant {
            "origin_read_first" => Mending::OriginFirst,
            "no_fence" => Mending::Unfenced,
            "compare_and_set" => Mending::CompareAndSet,
            _ => Mending::Fenced,
        };
        let mends_any =
            matches!(variant, "mend" | "mending_not_level") || mending != Mending::Fenced;
        Rules {
            goes_wrong: !mends_any,
            mends_any,
            touched_ignored: variant == "touched_ignored",
            mark_not_awaited: variant == "mark_not_awaited",
            begun_behind_the_read: variant == "begun_behind_the_read",
            ended_before_the_read: variant == "ended_before_the_read",
            mending,
            not_level: matches!(variant, "proof_not_level" | "mending_not_level"),
        }
    }
}
