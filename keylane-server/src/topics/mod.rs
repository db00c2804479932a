//! Topics at the rim: plans, findings and changes as text, JSON, YAML, SARIF and pictures, and the files that a caller hands in.

mod rates;
pub use rates::{FileRate, read_rates};

mod plan_text;
pub use plan_text::{differences_text, plan_text};

mod plan_wire;
pub use plan_wire::{differences_wire, plan_wire};

mod yaml;
pub use yaml::yaml;

mod mermaid;
pub use mermaid::mermaid;

mod svg;
pub use svg::svg;

mod client_properties;
pub use client_properties::read_client;

mod findings;
pub use findings::{findings_text, findings_wire};

mod sarif;
pub use sarif::sarif;

mod changes;
pub use changes::{Outcome, changes_text, changes_wire};

mod columns;
