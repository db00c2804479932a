//! What a running process tells others of the same machine, and what is said of a pipeline out of that.
//!
//! - `file`: a small file for each pipeline and role, replaced twice a second.
//! - `rate`: how fast its counters grow.
//! - `view`: files and stored facts → what people and scripts see.
//! - `text`: the same for people.
//! - `retained`: what the origin keeps for a pipeline.
//! - `observer`: the look from any process that puts it together.

mod file;
pub use file::{ApplyStatus, CaptureStatus, ProcessStatus, read_all, write};

mod rate;
pub use rate::RateMeter;

mod view;
pub(crate) use view::half;
pub use view::{Facts, Halves, PipelineView, ProcessView, State, rfc3339, view, worst_first};

mod text;
pub use text::{table, told};

mod retained;
pub use retained::{Retained, retained};

mod observer;
pub use observer::{Observer, PARKED_MAX};
