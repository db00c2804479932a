//! `keylane reconcile`: what differs is found while the road is at work, and nothing else is.

mod at_once;
mod killed;
mod lag;
mod repair;
mod road;
mod schedule;
mod standby;
mod told;
mod trace;
mod urls;
mod window;
