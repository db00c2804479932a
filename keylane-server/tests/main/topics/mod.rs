//! `keylane topics` on real databases, a real log and real processes.

mod apply;
mod lint;
mod plan;
mod shared;
