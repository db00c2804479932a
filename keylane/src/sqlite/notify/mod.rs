//! The outbox in a SQLite file of the state folder: what is known of each subject, and the messages that are not told yet.
//!
//! It promises what `keylane_core::notify::Outbox` promises. Any number of processes of one machine may use the file at once; who sends holds the [`Turn`].

mod error;

mod file;

mod standing;

mod fold;
mod queue;

mod observe;

mod look;

mod outbox;
pub use outbox::SqliteOutbox;

mod turn;
pub use turn::Turn;
