//! Events of services, from their outbox into topics, as users see it: over real Kafka, out of PostgreSQL and SQLite.

mod bad_rows;
mod bed;
mod choreography;
mod everything;
mod first_run;
mod hung;
mod killed;
mod over_http;
mod services;
mod sqlite;
mod tracker;
