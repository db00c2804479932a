//! The mechanism of Keylane: what must hold, as pure decisions without I/O and without a clock.
//!
//! A row's way reads from the folder names: [`model`] (what moves), then the stages in road order: [`capture`], [`publish`], [`consume`],
//! [`apply`], [`reconcile`], [`notify`]; beside the road [`topics`], [`outbox`] and [`saga`]. Each stage has a `port` (what an adapter must promise) beside its pure steps. The workers in the `keylane` crate drive these
//! steps against real systems; the simulator drives the same code with seeds and faults.

pub mod model;

pub mod capture;
pub mod publish;

pub mod consume;

pub mod apply;

pub mod reconcile;

pub mod notify;

pub mod topics;

pub mod outbox;

pub mod saga;

pub mod error;
