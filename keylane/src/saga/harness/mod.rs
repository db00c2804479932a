//! Three tests for any saga, to be run by the tests of its services: each step repeated, each step failing, each undo repeated.
//!
//! The saga is driven here, by the same decisions as by an orchestrator and against the services' own participants, in the calling test: no store, no topics, no waiting. What it cannot know is what the services' data must look like at the end: that says the
//! check that is called with how the saga ended, and once more after everything that was ever sent to it has come again.
//!
//! ```no_run
//! use std::sync::Arc;
//! use keylane::saga::harness::{Ended, Harness};
//! use keylane_core::saga::State;
//! # async fn test(plan: keylane_core::saga::Plan, stock: Arc<dyn keylane::participant::CarryOut>, pay: Arc<dyn keylane::participant::CarryOut>)
//! #     -> Result<(), Box<dyn std::error::Error>> {
//! # async fn reserved(saga: &str) -> i64 { 0 }
//! let harness = Harness::new(plan)
//!     .participant("stock", stock)
//!     .participant("pay", pay);
//! let data = |run: u32| serde_json::json!({"sku": "shoe", "order": run});
//! harness
//!     .all(data, async |ended: &Ended| match (ended.state, reserved(&ended.saga).await) {
//!         (State::Completed, 1) | (State::Compensated, 0) => Ok(()),
//!         (state, reserved) => Err(format!("{state:?} with {reserved} reserved")),
//!     })
//!     .await?;
//! # Ok(())
//! # }
//! ```
//!
//! - `runs`: the three.
//! - `drive`: one saga from its start to its end, with a fault.
//! - `http`: a participant in another process or language.

mod runs;
pub use runs::{Ended, Harness, HarnessError};

mod drive;

mod http;
pub use http::HttpParticipant;
