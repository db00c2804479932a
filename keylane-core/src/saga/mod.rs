//! Sagas: transactions that span services, as pure decisions.
//!
//! A [`Definition`] says which steps there are and how each is undone; [`check()`] refuses what could not be undone or would never end, and makes a [`Plan`] of the rest. A [`Saga`] is its rows; [`start`]
//! and [`decide`] move it from event to event, and say what to send. A participant keeps its first verdict on each step for ever, by [`judge`] and [`conclude`]. A saga that nobody drives is a
//! choreography: a [`Track`] of it is put together from its events, and [`reaction`] is how its participants go back.

mod limits;
pub use limits::{
    ADDRESS_BYTES_MAX, COMMAND_LIFE_US, KEY_BYTES_MAX, MS_MAX, NAME_BYTES_MAX,
    REASON_CHARACTERS_MAX, SAGA_ID_BYTES_MAX, STEPS_MAX, is_name,
};

mod template;
pub use template::{Path, PathError, Scope, Template};

mod condition;
pub use condition::{Comparison, Condition, ConditionError, Operand};

mod definition;
pub use definition::{Definition, Participant, Retry, Step, StepKind};

mod check;
pub use check::{Finding, Place, Rule, check};

mod plan;
pub use plan::Plan;

mod message;
pub use message::{Command, Op, Outcome, Reply};

mod state;
pub use state::{Phase, Saga, Start, State, StepRow, StepStatus};

mod event;
pub use event::{Entry, Event, Operation, What};

mod decide;
pub use decide::{Decision, Moment, StartError, decide, start};

mod port;
pub use port::{
    BATCH_MAX, Batch, Change, Count, Figures, Filter, Found, KeptDefinition, Lease, Line, Listed,
    PARKED_MAX, ParkedAnswer, SHARDS, SagaDesk, SagaStore, Shown, StoreError, StoreErrorKind,
    Style, Unsent, Wanted, Written, shard_of,
};

mod breaker;
pub use breaker::{Breaker, BreakerTerms, May, Pulse};

mod barrier;
pub use barrier::{Asked, Conclusion, Judgement, Ran, Rows, Undone, Verdict, conclude, judge};

pub mod wire;

mod choreography;
pub use choreography::{
    Alarm, Answer, Choreographies, Choreography, ChoreographyFinding, ChoreographyRule,
    ChoreographyStep, Expected, Heard, HeardError, NotedSignal, Part, Patience, Request, Said,
    Signal, SignalKind, Standing, StepTrack, Track, TrackRow, TrackStore, Tracked, TypeTrack,
    check_choreography, heard_of, operate, reaction, told,
};
