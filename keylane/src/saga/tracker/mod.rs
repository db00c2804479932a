//! The tracker: what hears the events of choreographed sagas, keeps what is known of each, and tells their services what people ask for.
//!
//! - `settings`: what it is told.
//! - `hear`: events from topics into the store.
//! - `tell`: signals from the store into topics.
//! - `desk`: what people ask for.
//! - `run`: all of it.
//! - `stats`: figures.
//!
//! **Invariant:** a record counts as heard only when what it says is in the store. Hearing it again changes nothing.
//! **Invariant:** a signal goes out only from the store, and only if the topic does not hold it since it was first tried.

mod settings;
pub use settings::TrackerSettings;

mod stats;
pub use stats::TrackerStats;

mod hear;

mod tell;

mod desk;
pub use desk::TrackDesk;

mod run;
pub use run::Tracker;
