//! An event of a saga out of the attributes that it travels with.

use super::{Heard, Said};
use crate::saga::limits::{
    ADDRESS_BYTES_MAX, KEY_BYTES_MAX, NAME_BYTES_MAX, SAGA_ID_BYTES_MAX, STEPS_MAX, is_text,
};
use crate::saga::message::Op;
use crate::saga::wire::{Attributes, WireError, read_instant};

/// What an event says that aborts its saga: the word in `sagaop`.
pub(super) const ABORT: &str = "abort";
/// What an event says that somebody tells who is not the step's service: the word in `sagaby`.
pub(super) const HAND: &str = "hand";

/// Reads which saga an event belongs to, and what it says; `None` if it belongs to no choreographed one. `recorded_us` is when it came into its topic, microseconds since 1970: it counts where the event does
/// not say when it was made, or says that it was made later.
pub fn heard_of(attributes: &Attributes, recorded_us: i64) -> Option<(String, Heard)> {
    let text = |name: &str| attributes.get(name).unwrap_or_default().to_owned();
    let saga = text("correlationid");
    let (step, said) = (text("sagastep"), text("sagaop"));
    // Commands of an orchestrator, and their answers, tell nothing to a tracker.
    if saga.is_empty() || Op::named(&said).is_some() {
        return None;
    }
    let made_us = attributes.get("time").and_then(read_instant);
    let next = attributes.get("saganext").map(|names| {
        let names = names.split(',').map(str::trim);
        let names = names.filter(|it| !it.is_empty()).map(str::to_owned);
        names.collect()
    });
    let heard = Heard {
        type_name: text("type"),
        step: Said::named(&said)
            .filter(|_| !step.is_empty())
            .map(|said| (step, said)),
        service: text("source"),
        subject: attributes
            .get("subject")
            .filter(|it| is_text(it, KEY_BYTES_MAX))
            .map(str::to_owned),
        next,
        aborts: said == ABORT,
        by_hand: attributes.get("sagaby") == Some(HAND),
        at_us: made_us.map_or(recorded_us, |made_us| made_us.min(recorded_us)),
    };
    Some((saga, heard))
}

/// Why an event cannot be taken in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeardError {
    /// Its attributes cannot be read.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A name in it is missing, or too long to be kept.
    #[error("attribute {name} is missing, or has more than {bytes_max} bytes")]
    Unfit {
        /// The attribute.
        name: &'static str,
        /// How much is kept.
        bytes_max: usize,
    },
}

impl Heard {
    /// Whether everything that it says, of this saga, can be kept.
    ///
    /// # Errors
    /// What cannot.
    pub fn check(&self, saga: &str) -> Result<(), HeardError> {
        let fits = |name: &'static str, text: &str, bytes_max: usize| match is_text(text, bytes_max)
        {
            true => Ok(()),
            false => Err(HeardError::Unfit { name, bytes_max }),
        };
        fits("correlationid", saga, SAGA_ID_BYTES_MAX)?;
        fits("type", &self.type_name, ADDRESS_BYTES_MAX)?;
        if let Some((step, _)) = &self.step {
            fits("sagastep", step, NAME_BYTES_MAX)?;
            fits("source", &self.service, ADDRESS_BYTES_MAX)?;
        }
        for next in self.next.iter().flatten().take(STEPS_MAX) {
            fits("saganext", next, NAME_BYTES_MAX)?;
        }
        Ok(())
    }
}
