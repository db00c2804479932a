//! `keylane saga demo`: travel bookings over three services, in both styles, with failures injected and processes killed; then the proof.
//!
//! A trip is a seat, a room and a payment, each in a service of its own with a SQLite file of its own. Of every two trips one is driven by the orchestrator over HTTP, the other goes from service to service by the events of their outboxes
//! over the embedded log. Flights and hotels fill up, accounts run dry, and steps fail for no reason, so that many trips go back. The services, and the process that drives sagas and captures outboxes, are killed with SIGKILL at random moments and
//! started again. At the end each service's own books are added up. Nothing that judges asks the engine more than where it says that a saga stands: see [`proof`].

mod command;
pub(super) use command::{DemoArguments, run};

mod travel;

mod service;

mod stage;

mod processes;

mod proof;

mod report;
