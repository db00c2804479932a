//! Messages to channels that take them, refuse them, answer nothing and die: none is lost, none is told twice that was told to be taken.

mod bed;

mod answers;
mod chance;
mod outbox;
mod sending;
