//! Rates that a caller measured elsewhere: a file of tables, each with its changes a second, or with these and the bytes of a change.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

/// What a file says of a table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FileRate {
    /// Rows inserted, updated and deleted in a second.
    pub changes_per_s: f64,
    /// Bytes of a change as a record.
    pub bytes_per_change: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Wire {
    Number(f64),
    Block {
        changes_per_s: f64,
        bytes_per_change: Option<f64>,
    },
}

/// The rates of a YAML or JSON file, by `SCHEMA.TABLE` (or `TABLE` alone).
///
/// # Errors
/// What is wrong with the file.
pub fn read_rates(path: &Path) -> Result<BTreeMap<String, FileRate>, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    parse(&text).map_err(|fault| format!("{}: {fault}", path.display()))
}

fn parse(text: &str) -> Result<BTreeMap<String, FileRate>, String> {
    let wire: BTreeMap<String, Wire> = serde_saphyr::from_str(text).map_err(|error| {
        let shape = "write SCHEMA.TABLE: CHANGES_PER_S, or SCHEMA.TABLE: { changes_per_s: …, bytes_per_change: … }";
        format!("{error}; {shape}")
    })?;
    let rate = |(name, wire): (String, Wire)| {
        let rate = match wire {
            Wire::Number(changes_per_s) => FileRate {
                changes_per_s,
                bytes_per_change: None,
            },
            Wire::Block {
                changes_per_s,
                bytes_per_change,
            } => FileRate {
                changes_per_s,
                bytes_per_change,
            },
        };
        let sane = |value: f64| value.is_finite() && value >= 0.0;
        match sane(rate.changes_per_s) && rate.bytes_per_change.is_none_or(sane) {
            true => Ok((name, rate)),
            false => Err(format!("{name}: a rate is a number from 0 on")),
        }
    };
    wire.into_iter().map(rate).collect()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_rate_is_a_number_or_a_block() {
        let rates =
            parse("public.orders: 120\nitems: { changes_per_s: 7.5, bytes_per_change: 900 }\n");
        let rates = rates.expect("it is right");
        assert_eq!(rates["public.orders"].changes_per_s, 120.0);
        assert_eq!(rates["items"].bytes_per_change, Some(900.0));
        assert!(parse(r#"{"a.b": 3}"#).is_ok(), "JSON is YAML");
        for wrong in ["a: -1", "a: fast", "- a", "a: .nan"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
