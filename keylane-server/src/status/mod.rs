//! What a running process tells others of the same machine: a small file for each pipeline and role, replaced twice a second.

mod file;
pub use file::{ApplyStatus, CaptureStatus, ProcessStatus, read_all, write};
