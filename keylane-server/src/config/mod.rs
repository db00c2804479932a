//! `keylane.yaml`: its shape, its defaults, and what it says when something is wrong.
//!
//! [`Config::load`] reads the file once, at start. Every mistake is reported with file, line and column, a snippet, the
//! nearest known key, a code (`KL-CONFIG-NNN`, one page each in `docs/errors/`) and what to do; all mistakes of one file
//! are reported together, except that a file which is not YAML stops at the first.
//!
//! How it is read: YAML text → a tree of nodes with positions ([`tree`]) → typed structs, block by block, each block
//! checked against its table of keys ([`keys`]) → checks across blocks ([`cross_check`]). The same tables give the
//! defaults and the reference page, so that neither can disagree with what is accepted.
//!
//! A saga's definition ([`saga`]) is read the same way.
//!
//! **Invariant:** a secret is never printed. Secrets live in [`Secret`]; snippets show only values that were read as
//! something other than a secret (a list of what may be shown, not of what may not).

mod code;
mod error;
mod file;
mod secret;
mod source;

mod interpolate;
mod issue;
mod keys;
mod lists;
mod look;
mod reader;
mod scalar;
mod secret_value;
mod syntax;
mod tree;

mod apply;
mod capture;
mod cross_check;
mod from_topics;
mod group;
mod http;
mod log;
mod notify;
mod notify_rules;
mod origin;
mod outbox;
mod pipeline;
mod reconcile;
mod replica;
mod sharing;
mod tables;
mod topics;
mod url;

mod reference;
mod template;

mod choreography;
mod saga;
mod saga_service;
mod saga_tracker;

pub use apply::{Apply, ExhaustedAction, ForeignKeys, MissingRows, OnError};
pub use capture::{Capture, Snapshot};
pub use choreography::{
    SagaFile, choreography_keys, choreography_reference_markdown, load_choreography,
    load_saga_file, parse_choreography,
};
pub use code::Code;
pub use error::{ConfigError, Problem, Snippet};
pub use file::{Config, FILE_BYTES_MAX};
pub use from_topics::FromTopics;
pub use http::{Http, TOKEN_CHARS_MIN};
pub use log::{EmbeddedLog, KafkaLog, Log};
pub use notify::{Notify, NotifyChannel, PipelineNotify};
pub use notify_rules::OwnRules;
pub use origin::{Origin, PostgresOrigin};
pub use outbox::{Accept, Outbox};
pub use pipeline::{Pipeline, PipelineName};
pub use reconcile::{Reconcile, Schedule};
pub use replica::Replica;
pub use saga::{SagaCode, load_saga, parse_saga, saga_keys, saga_reference_markdown};
pub use saga_service::{SagaParticipant, SagaService, SagaStarts, SagaWay};
pub use saga_tracker::SagaTracker;
pub use secret::Secret;
pub use tables::{TableName, TablePattern};
pub use template::{InitAnswers, InitTable, SecretFile, Template, TemplateError};
pub use topics::{Envelope, Topics};
pub use url::PostgresUrl;
