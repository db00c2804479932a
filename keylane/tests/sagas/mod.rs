//! Sagas: the stores, and the orchestrator.

mod bed;

mod contract;

mod harness;

mod leases;

mod tell;

mod tracks;
