//! Figures as they are found: printed with their units, and written as one JSON object.

use crate::machine;
use serde_json::{Map, Value, json};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// What went wrong, for a person.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// One run's conditions and figures.
#[derive(Debug)]
pub(crate) struct Report {
    name: &'static str,
    conditions: Map<String, Value>,
    figures: Map<String, Value>,
}

impl Report {
    /// Begins with what the machine says of itself.
    pub(crate) fn new(name: &'static str) -> Self {
        let mut report = Report {
            name,
            conditions: Map::new(),
            figures: Map::new(),
        };
        for (name, value) in machine::conditions() {
            report.condition(name, value);
        }
        report
    }

    /// Something that the figures depend on.
    pub(crate) fn condition(&mut self, name: &str, value: impl Into<Value>) {
        let value = value.into();
        eprintln!("  condition  {name} = {value}");
        self.conditions.insert(name.to_owned(), value);
    }

    /// A figure; the name ends in its unit.
    pub(crate) fn figure(&mut self, name: &str, value: f64) {
        let rounded = match value.abs() {
            large if large >= 100.0 => value.round(),
            _ => (value * 100.0).round() / 100.0,
        };
        println!("{:<52} {rounded}", format!("{}.{name}", self.name));
        self.figures.insert(name.to_owned(), json!(rounded));
    }

    /// Writes the JSON into `folder`.
    pub(crate) fn finish(mut self, folder: &Path) -> Result<()> {
        self.condition("load_average_at_end", machine::load_average());
        std::fs::create_dir_all(folder)?;
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let path = folder.join(format!("{}-{seconds}.json", self.name));
        let whole = json!({"bench": self.name, "unix_s": seconds, "conditions": self.conditions, "figures": self.figures});
        std::fs::write(&path, serde_json::to_vec_pretty(&whole)?)?;
        eprintln!("written to {}", path.display());
        Ok(())
    }
}

/// The middle one of several measurements.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A ratio that says NaN rather than failing.
pub(crate) fn per(amount: f64, of: f64) -> f64 {
    if of > 0.0 { amount / of } else { f64::NAN }
}

/// As a floating-point number; beyond 2^53 approximately.
pub(crate) fn float(number: u64) -> f64 {
    number as f64
}
