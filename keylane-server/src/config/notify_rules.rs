//! `notify.rules`: from where on figures of a pipeline are told.

use std::time::Duration;

use keylane_core::notify::{LagRule, ParkedRule, Rules, SlotRule, StuckRule};

use super::keys::{Absent, DAY_MS, Key, MIB, SECOND_MS, TIB, Takes};
use super::reader::{Block, Read};

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "lag",
        takes: Takes::Block(LAG),
        absent: Absent::Means("its defaults; in a pipeline: as under `notify`"),
        means: "The replica is too far behind.",
    },
    Key {
        name: "slot",
        takes: Takes::Block(SLOT),
        absent: Absent::Means("its defaults; in a pipeline: as under `notify`"),
        means: "A PostgreSQL origin's disk is full soon by what it keeps for the slot, or the slot is lost soon.",
    },
    Key {
        name: "parked",
        takes: Takes::Block(PARKED),
        absent: Absent::Means("its defaults; in a pipeline: as under `notify`"),
        means: "Keys are parked.",
    },
    Key {
        name: "stuck",
        takes: Takes::Block(STUCK),
        absent: Absent::Means("its defaults; in a pipeline: as under `notify`"),
        means: "Half of the road is degraded, gone, or has work and gets none done. A half that ended with an error is told at once.",
    },
];

const TELL: Key = Key {
    name: "tell",
    takes: Takes::Flag,
    absent: Absent::Default("true"),
    means: "Whether it is looked at.",
};

const fn hold(default: &'static str) -> Key {
    Key {
        name: "for",
        takes: Takes::Duration {
            min_ms: 0,
            max_ms: 7 * DAY_MS,
        },
        absent: Absent::Default(default),
        means: "How long it must last before it is told, and be over before that is told.",
    }
}

const LAG: &[Key] = &[
    TELL,
    Key {
        name: "above",
        takes: Takes::Duration {
            min_ms: SECOND_MS,
            max_ms: 365 * DAY_MS,
        },
        absent: Absent::Default("1m"),
        means: "From this lag on.",
    },
    hold("1m"),
];

const SLOT: &[Key] = &[
    TELL,
    Key {
        name: "full_within",
        takes: Takes::Duration {
            min_ms: SECOND_MS,
            max_ms: 365 * DAY_MS,
        },
        absent: Absent::Default("4h"),
        means: "When less time than this is left, at the rate of the last ten minutes.",
    },
    hold("5m"),
    Key {
        name: "disk",
        takes: Takes::Bytes {
            min: MIB,
            max: 1024 * TIB,
        },
        absent: Absent::Means(
            "only the server's own bound counts (`max_slot_wal_keep_size`); if it has none, nothing is told",
        ),
        means: "What of the origin's disk its log may take. The server cannot be asked for it.",
    },
];

const PARKED: &[Key] = &[
    TELL,
    Key {
        name: "keys",
        takes: Takes::Count {
            min: 1,
            max: 10_000_000,
        },
        absent: Absent::Default("1"),
        means: "From so many parked keys on.",
    },
    hold("0s"),
];

const STUCK: &[Key] = &[TELL, hold("5m")];

/// Rules of a pipeline's own; the outer `None`: as for all, the inner: not looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnRules {
    /// The lag.
    pub lag: Option<Option<LagRule>>,
    /// The slot's disk.
    pub slot: Option<Option<SlotRule>>,
    /// Parked keys.
    pub parked: Option<Option<ParkedRule>>,
    /// The road.
    pub stuck: Option<Option<StuckRule>>,
}

impl OwnRules {
    /// These, and where there is none that of all.
    pub fn or(self, general: Rules) -> Rules {
        Rules {
            lag: self.lag.unwrap_or(general.lag),
            slot: self.slot.unwrap_or(general.slot),
            parked: self.parked.unwrap_or(general.parked),
            stuck: self.stuck.unwrap_or(general.stuck),
        }
    }
}

/// All rules, with their defaults.
pub(super) fn all(block: &Block<'_>) -> Read<Rules> {
    let rules = (
        rule(block, "lag", lag),
        rule(block, "slot", slot),
        rule(block, "parked", parked),
        rule(block, "stuck", stuck),
    );
    Ok(Rules {
        lag: rules.0?,
        slot: rules.1?,
        parked: rules.2?,
        stuck: rules.3?,
    })
}

/// Those that are written.
pub(super) fn own(block: &Block<'_>) -> Read<OwnRules> {
    let rules = (
        own_rule(block, "lag", lag),
        own_rule(block, "slot", slot),
        own_rule(block, "parked", parked),
        own_rule(block, "stuck", stuck),
    );
    Ok(OwnRules {
        lag: rules.0?,
        slot: rules.1?,
        parked: rules.2?,
        stuck: rules.3?,
    })
}

fn own_rule<T>(
    block: &Block<'_>,
    name: &str,
    read: impl FnOnce(&Block<'_>) -> Read<T>,
) -> Read<Option<Option<T>>> {
    match block.is_written(name) {
        true => rule(block, name, read).map(Some),
        false => Ok(None),
    }
}

fn rule<T>(
    block: &Block<'_>,
    name: &str,
    read: impl FnOnce(&Block<'_>) -> Read<T>,
) -> Read<Option<T>> {
    let inner = block.block(name)?;
    let (tell, rule) = (inner.flag("tell"), read(&inner));
    let (tell, rule) = (tell?, rule?);
    Ok(tell.then_some(rule))
}

fn lag(block: &Block<'_>) -> Read<LagRule> {
    let (above, hold) = (block.duration("above"), block.duration("for"));
    Ok(LagRule {
        above_ms: millis(above?),
        hold_ms: millis(hold?),
    })
}

fn slot(block: &Block<'_>) -> Read<SlotRule> {
    let (within, hold) = (block.duration("full_within"), block.duration("for"));
    let disk = match block.is_written("disk") {
        true => block.bytes("disk").map(Some),
        false => Ok(None),
    };
    Ok(SlotRule {
        full_within_ms: millis(within?),
        hold_ms: millis(hold?),
        disk_bytes: disk?,
    })
}

fn parked(block: &Block<'_>) -> Read<ParkedRule> {
    let (keys, hold) = (block.count("keys"), block.duration("for"));
    Ok(ParkedRule {
        keys: keys?,
        hold_ms: millis(hold?),
    })
}

fn stuck(block: &Block<'_>) -> Read<StuckRule> {
    Ok(StuckRule {
        hold_ms: millis(block.duration("for")?),
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
