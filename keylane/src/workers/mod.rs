//! The thin loops that drive the pure steps: capture, apply, reconcile and notify, and what they keep in the log's control topic.
//!
//! - [`control`]: what a capturer must find again after a crash, and what an applier must know of it.
//! - [`capture`]: origin → log.
//! - [`apply`]: log → replica.
//! - [`reconcile`]: origin against replica.
//! - [`notify`]: outbox → channels.
//! - [`stats`]: counters both keep for status and metrics.

pub mod control;
pub mod stats;

pub mod capture;

pub mod apply;

pub mod reconcile;

pub mod notify;
