//! Notify, by the real command: what is told when, over deaths of the process and of the channel.

mod bed;

mod channels;
mod preview;
mod reconcile;
mod road;
mod shutdown;
mod slot;
mod worker;
