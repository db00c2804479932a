//! Participants of sagas on real databases, each held to the same cases; and over HTTP, where a participant may be written in any language.

mod cases;
mod choreography;
mod commands;
mod follow;
mod http;
mod locks;
mod other_languages;
mod over_kafka;
mod postgres;
mod sqlite;
