//! The commands, one file each.

mod arguments;
pub use arguments::{Arguments, Color, Format, main};
use arguments::{block_on, load, print, runtime};

mod examples;

pub mod demo;

mod init;

mod check;

mod run;

mod status;

mod settle;

mod parked;

mod threads;

mod reconcile;

mod trace;

mod notify;

mod consume;

mod topics;

mod saga;

mod completions;
