//! What a tracker is told.

use std::sync::Arc;

use keylane_core::saga::Choreographies;

use crate::log_settings::LogSettings;

/// What a tracker is told.
#[derive(Clone, Debug)]
pub struct TrackerSettings {
    /// The log.
    pub log: LogSettings,
    /// The group that reads: that of all processes that share the store. Another name hears everything anew, which changes nothing in what is known.
    pub group: String,
    /// The topics that are heard.
    pub topics: Vec<String>,
    /// Those of them that only aborts go into: an embedded log has them from this tracker.
    pub own_topics: Vec<String>,
    /// The choreographies.
    pub known: Arc<Choreographies>,
    /// The `source` of its signals.
    pub source: String,
}
