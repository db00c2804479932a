//! Sagas: the stores, and the orchestrator.

mod bed;

mod contract;

mod leases;

mod tracks;
