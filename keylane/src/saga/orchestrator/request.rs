//! A request for a saga, from a command, over HTTP or in an event.

use std::sync::Arc;

use keylane_core::model::fingerprint;
use keylane_core::saga::wire::BODY_BYTES_MAX;
use keylane_core::saga::{Plan, Start};
use serde_json::{Value, json};

use super::plans::Plans;
use crate::workers::stats::now_us;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct SagaRequest {
    /// The name of the definition.
    pub definition: String,
    /// Its version; without, the newest.
    pub version: Option<u32>,
    /// The key.
    pub key: Option<String>,
    /// The data.
    pub data: Value,
}

impl SagaRequest {
    /// A number for all that is asked for: a repeat has the same.
    pub fn number(&self) -> u64 {
        fingerprint(&json!([self.definition, self.version, self.data]).to_string())
    }

    /// The plan that it names.
    ///
    /// # Errors
    /// In words, if there is none, or if the data is too large.
    pub fn plan(&self, plans: &Plans) -> Result<Arc<Plan>, String> {
        if self.data.to_string().len() > BODY_BYTES_MAX {
            return Err(format!(
                "the data has more than {BODY_BYTES_MAX} bytes: keep large things elsewhere and give the saga their address"
            ));
        }
        plans.named(&self.definition, self.version).ok_or_else(|| {
            let version = self
                .version
                .map_or(String::new(), |it| format!(" version {it}"));
            let known = match plans.names() {
                names if names.is_empty() => {
                    "none is: name its file under saga.definitions".to_owned()
                }
                names => format!("there are {}", names.join(", ")),
            };
            format!("no saga {}{version} is defined; {known}", self.definition)
        })
    }

    /// The saga as it begins, under a new id.
    pub fn start(self) -> Start {
        Start {
            id: new_id(),
            key: self.key,
            data: self.data,
        }
    }
}

/// A new id: ordered by time, to the millisecond, and nobody else's.
fn new_id() -> String {
    let ms = now_us() / 1000;
    let (high, low): (u16, u64) = (rand::random(), rand::random());
    format!("{ms:012x}-{high:04x}-{low:016x}")
}
