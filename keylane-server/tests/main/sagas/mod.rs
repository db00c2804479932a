//! Sagas that the real command drives, against participants over HTTP that keep the real barrier and count their effects.

mod participants;

mod bed;

mod api;

mod commands;

mod crashes;
mod demo;

mod embedded;

mod everything;

mod apart;

mod resumed;

mod roles;

mod starts;

mod topics;

mod tracked;
