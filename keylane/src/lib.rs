//! Keylane as a library: the systems it speaks to, and the workers that drive the mechanism of `keylane-core` against them.
//!
//! One folder per outside system; an adapter never imports another.

pub mod envelope;

pub mod embedded;
pub mod kafka;
pub mod postgres;
pub mod sqlite;

pub mod slack;
pub mod webhook;

mod notice;
mod post;

pub mod workers;

pub mod consumer;

pub mod preflight;

mod own_thread;

mod twins;
