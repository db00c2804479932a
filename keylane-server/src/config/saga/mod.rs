//! The definition of a saga as people write it: YAML, or the canonical JSON, which is YAML too.
//!
//! It is read by the reader of the configuration, with its limits, places and suggestions, and then judged by the core's rules; every mistake is told at once, each rule's at the line of
//! the step and the field that break it. Codes: `KL-CONFIG-…` for what any file can have, `KL-SAGA-…` for what only a definition can ([`SagaCode`]).
//!
//! **Invariant:** what is read does not depend on where it is read: no variables, no paths, no defaults from elsewhere. Its hash says what it is.
//! **Invariant:** a definition holds no secret. An address with a user or a password is refused, and never shown.

mod code;
pub use code::SagaCode;

mod figures;

mod input;

mod condition;

mod participant;

mod retry;

mod step;
pub(in crate::config) use step::path as step_path;

mod definition;
pub(in crate::config) use definition::step_nodes;
pub use definition::{saga_keys, saga_reference_markdown};

mod findings;
pub(in crate::config) use findings::{fit, item, span};

mod load;
pub(in crate::config) use load::{Kind, is_kind, kind, load, parse, plan};
pub use load::{load_saga, parse_saga};
