//! The `keylane` command as a library, so that its tests can call what the binary calls.

pub mod cli;

pub mod config;

pub mod wire_up;

pub mod status;

pub mod parked;

pub mod reconcile;

pub mod notify;

pub mod init;

pub mod check;

pub mod topics;

pub mod saga;

pub mod http;

pub mod exit_code;

pub mod logging;

pub mod shutdown;

pub mod threads;
