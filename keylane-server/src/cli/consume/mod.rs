//! `keylane consume`: a topic's records, of a cluster or of an embedded log, in key order, to a command or an HTTP endpoint. No configuration is needed.

mod command;
pub use command::ConsumeArguments;
pub(super) use command::run;

mod place;

mod exec;

mod http;

mod redrive;
