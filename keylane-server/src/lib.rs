//! The `keylane` command as a library, so that its tests can call what the binary calls.

pub mod config;
