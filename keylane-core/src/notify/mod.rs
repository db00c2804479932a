//! Notify: who is told of what, and when.
//!
//! Observations of a [`Subject`] (a table's comparison, a pipeline's lag, …) change its [`Standing`]; a [`Message`] is made for a change of the told state and
//! for nothing else, except a digest each day. Standing and message are stored together ([`Outbox`]) before anything is sent, so that a channel that is away
//! neither hides nor doubles a change; a [`Channel`] says of each attempt whether it was taken.

mod subject;
pub use subject::{Half, Subject, What};

mod state;
pub use state::{Severity, State};

mod report;
pub use report::{
    COLUMNS_MAX, KEYS_MAX, SampleKey, TEXT_CHARS_MAX, TableReport, ValuePair, Verdict,
};

mod terms;
pub use terms::{AllTerms, Terms};

mod message;
pub use message::{
    Detail, Digest, Folded, LagFound, Message, News, OpenLine, ParkedFound, PipelineLine,
    RoadFound, SagasFound, SlotFound,
};

mod step;
pub use step::{
    Day, FLAP_CHANGES, FLAP_WINDOW_US, Flapping, Observation, Quiet, Standing, Step, step,
};

mod growth;

mod rules;
pub use rules::{
    HalfLook, LagRule, Look, ParkedRule, Rules, SagasRule, SlotRule, StuckRule, Watch,
};

mod digest;
pub use digest::{DailyAt, Due, OPEN_MAX, digest};

mod words;
pub use words::{List, Words, bytes, count, duration, found, label, spoken, words};

mod samples;
pub use samples::samples;

mod attempt;
pub use attempt::{Answer, RETRY_AFTER_MAX_MS, pause_ms, rest_ms};

mod port;
pub use port::{
    Answered, Channel, ChannelFigures, DigestOrder, Entry, Kept, Next, Outbox, OutboxError, Taken,
};
