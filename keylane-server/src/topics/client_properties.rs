//! A client's settings out of a `.properties` file, as Java and librdkafka's tools read it.

use std::collections::BTreeMap;
use std::path::Path;

use keylane_core::topics::lint::Client;

/// Reads a client's settings; it is called as its file.
///
/// # Errors
/// If the file cannot be read.
pub fn read_client(path: &Path) -> Result<Client, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    Ok(Client {
        name: path.display().to_string(),
        settings: parse(&text),
    })
}

/// `name=value`, `name: value` or `name value`, `#` and `!` begin comments, a backslash at the end goes on in the next line.
fn parse(text: &str) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    let mut line = String::new();
    for part in text.lines() {
        let part = part.trim_start();
        if line.is_empty() && (part.starts_with('#') || part.starts_with('!')) {
            continue;
        }
        match part.strip_suffix('\\') {
            Some(part) => line.push_str(part),
            None => {
                line.push_str(part);
                settings.extend(setting(&line));
                line.clear();
            }
        }
    }
    settings.extend(setting(&line));
    settings
}

fn setting(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    let end = line.find(['=', ':', ' ', '\t'])?;
    let (name, rest) = (line.get(..end)?, line.get(end..)?);
    let value = rest.trim_start();
    let value = value.strip_prefix(['=', ':']).unwrap_or(value);
    (!name.is_empty()).then(|| (name.to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_setting_is_written_in_any_of_the_ways_of_java() {
        let settings = parse(
            "# a comment\n! another\ngroup.id = app\nenable.auto.commit:false\nacks all\nlong=a,\\\n   b\n\nempty=\nno_value\n",
        );
        let told: Vec<String> = settings
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(
            told,
            [
                "acks=all",
                "empty=",
                "enable.auto.commit=false",
                "group.id=app",
                "long=a,b"
            ]
        );
    }
}
