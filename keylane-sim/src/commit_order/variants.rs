//! The sound variants and the short cuts.

use super::world;
use crate::suite::{Simulation, Variant, mutant, sound};

/// The simulation.
pub const SIMULATION: Simulation = Simulation {
    name: "commit_order",
    variants: VARIANTS,
    size: 40,
    run: world::run,
};

const VARIANTS: &[Variant] = &[
    sound("undisturbed"),
    sound("disturbed"),
    sound("forbidden_states"),
    mutant("commits_out_of_turn"),
    mutant("takes_incomplete_transactions"),
    mutant("begins_at_once"),
    mutant("misses_what_is_missing"),
    mutant("goes_on_behind_a_failure"),
];

/// What a variant makes of the rules.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rules {
    /// Conflicts, lost answers, crashes.
    pub disturbed: bool,
    /// The origin's transactions pass through states that the replica's constraints forbid.
    pub forbidden_states: bool,
    /// What a batch is known to depend on is not awaited.
    pub at_once: bool,
    /// Whoever is done commits.
    pub out_of_turn: bool,
    /// A partition that holds a change of a transaction is thought to hold all of it.
    pub incomplete: bool,
    /// A write that hits no row is thought nothing of.
    pub misses_nothing: bool,
    /// Who stands behind a batch that failed does not give way.
    pub goes_on: bool,
}

impl Rules {
    pub(super) fn of(variant: &str) -> Rules {
        Rules {
            disturbed: variant != "undisturbed",
            forbidden_states: variant == "forbidden_states",
            at_once: matches!(variant, "begins_at_once" | "misses_what_is_missing"),
            out_of_turn: variant == "commits_out_of_turn",
            incomplete: variant == "takes_incomplete_transactions",
            misses_nothing: variant == "misses_what_is_missing",
            goes_on: variant == "goes_on_behind_a_failure",
        }
    }
}
