//! Figures that a tracker keeps. Cheap to write, read at any moment.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::workers::stats::Counter;

/// What a tracker did since it started.
#[derive(Debug, Default)]
pub struct TrackerStats {
    /// Events of sagas that are in the store.
    pub heard: Counter,
    /// Records that belong to no choreographed saga.
    pub passed_over: Counter,
    /// Records that cannot be read.
    pub unreadable: Counter,
    /// Transactions.
    pub batches: Counter,
    /// Signals that went out.
    pub told: Counter,
    troubles: Mutex<BTreeMap<&'static str, String>>,
}

impl TrackerStats {
    /// Why something does not go on, if it does not.
    pub fn trouble(&self) -> Option<String> {
        let troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.values().next().cloned()
    }

    /// What of it does not go on, or goes on again.
    pub(super) fn set_trouble(&self, what: &'static str, why: Option<String>) {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        match why {
            Some(why) => drop(troubles.insert(what, why)),
            None => drop(troubles.remove(what)),
        }
    }
}
