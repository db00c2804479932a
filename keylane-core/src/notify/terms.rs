//! Who is told of a pipeline, and from which size on.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The terms of one pipeline.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Terms {
    /// The channels that are told. None: states are kept all the same.
    pub channels: Vec<Arc<str>>,
    /// Fewer rows that differ are only logged.
    pub min_rows: u64,
    /// A smaller share of the table's rows is only logged.
    pub min_ratio: f64,
    /// Whether values of rows may be told, not only keys.
    pub values: bool,
}

/// The terms of every pipeline.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AllTerms {
    /// Where a pipeline has none of its own, and outside any pipeline.
    pub general: Terms,
    /// By pipeline.
    pub of: BTreeMap<Arc<str>, Terms>,
}

impl AllTerms {
    /// The terms of this pipeline.
    pub fn of(&self, pipeline: Option<&str>) -> &Terms {
        pipeline
            .and_then(|name| self.of.get(name))
            .unwrap_or(&self.general)
    }
}
