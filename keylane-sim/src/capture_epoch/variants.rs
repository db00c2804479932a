//! The sound opening and the short cuts.

use super::world;
use crate::suite::{Expect, Simulation, Variant};

/// The simulation.
pub const SIMULATION: Simulation = Simulation {
    name: "capture_epoch",
    variants: &[
        Variant {
            name: "sound",
            expect: Expect::Holds,
        },
        mutant("no_check"),
        mutant("highest_seen_plus_1"),
        mutant("last_opened_wins"),
        mutant("tails_first"),
        mutant("no_epoch"),
        mutant("confirm_before_ack"),
        mutant("stale_checkpoint_trusted"),
    ],
    size: 10,
    run: world::run,
};

/// Which rule of the opening is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    Sound,
    NoCheck,
    HighestSeenPlus1,
    LastOpenedWins,
    TailsFirst,
    NoEpoch,
    ConfirmBeforeAck,
    StaleCheckpointTrusted,
}

impl Rule {
    pub(super) fn of(variant: &str) -> Rule {
        match variant {
            "no_check" => Rule::NoCheck,
            "highest_seen_plus_1" => Rule::HighestSeenPlus1,
            "last_opened_wins" => Rule::LastOpenedWins,
            "tails_first" => Rule::TailsFirst,
            "no_epoch" => Rule::NoEpoch,
            "confirm_before_ack" => Rule::ConfirmBeforeAck,
            "stale_checkpoint_trusted" => Rule::StaleCheckpointTrusted,
            _ => Rule::Sound,
        }
    }

    /// Whether it is checked, after taking the number, that the slot is still held.
    pub(super) fn checks_slot(self) -> bool {
        !matches!(
            self,
            Rule::NoCheck | Rule::HighestSeenPlus1 | Rule::LastOpenedWins
        )
    }
}

const fn mutant(name: &'static str) -> Variant {
    Variant {
        name,
        expect: Expect::Caught,
    }
}
