//! The sound variants and the short cuts.

use keylane_core::model::Position;
use keylane_core::publish::Stamp;

use super::world;
use crate::suite::{Simulation, mutant, sound};

/// The simulation.
pub const SIMULATION: Simulation = Simulation {
    name: "cross_lane",
    variants: &[
        sound("unlimited"),
        sound("history_12"),
        sound("history_3"),
        sound("floor_only"),
        sound("forbidden_states"),
        mutant("naive"),
        mutant("fold_only"),
        mutant("floor_ignored"),
        mutant("dependencies_ignored"),
        mutant("rest_not_awaited"),
        mutant("cascades_unguarded"),
    ],
    size: 40,
    run: world::run,
};

/// What a variant makes of the rules.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub entries_max: usize,
    pub careful_is_folded: bool,
    /// The origin's transactions pass through states that the replica's constraints forbid.
    pub forbidden_states: bool,
    pub rest_not_awaited: bool,
    pub cascades_unguarded: bool,
    pub restamp: fn(Stamp) -> Stamp,
}

impl Rules {
    pub(super) fn of(variant: &str) -> Rules {
        let rules = |entries_max, restamp| Rules {
            entries_max,
            careful_is_folded: false,
            forbidden_states: false,
            rest_not_awaited: false,
            cascades_unguarded: false,
            restamp,
        };
        match variant {
            "history_12" => rules(12, |stamp| stamp),
            "history_3" => rules(3, |stamp| stamp),
            "floor_only" => rules(usize::MAX, floor_only),
            "naive" => rules(usize::MAX, |_| Stamp::default()),
            "floor_ignored" => rules(12, |stamp| Stamp {
                floor: Position::ZERO,
                ..stamp
            }),
            "dependencies_ignored" => rules(usize::MAX, |stamp| Stamp {
                dependencies: Vec::new(),
                ..stamp
            }),
            "forbidden_states" | "rest_not_awaited" | "cascades_unguarded" => Rules {
                forbidden_states: true,
                rest_not_awaited: variant == "rest_not_awaited",
                cascades_unguarded: variant == "cascades_unguarded",
                ..rules(usize::MAX, |stamp| stamp)
            },
            "fold_only" => Rules {
                careful_is_folded: true,
                ..rules(usize::MAX, |stamp| stamp)
            },
            _ => rules(usize::MAX, |stamp| stamp),
        }
    }
}

/// The stamp as one position: more waiting, equally right.
fn floor_only(stamp: Stamp) -> Stamp {
    let named = stamp.dependencies.iter().map(|one| one.position).max();
    Stamp {
        floor: stamp.floor.max(named.unwrap_or(Position::ZERO)),
        dependencies: Vec::new(),
    }
}
