//! Reading a secret: as written, `${ENV}`, or `file:PATH`. Nothing here puts a value into a message.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::code::Code;
use super::interpolate::Insert;
use super::reader::{Block, Read, Text};
use super::secret::Secret;
use super::source::Span;
use super::tree::Node;

/// A larger file is not a secret.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

impl Block<'_> {
    /// The secret of an optional key, with its place.
    pub fn secret_if_any(&self, name: &str) -> Read<Option<(Secret, Span)>> {
        let Some(entry) = self.entry(name) else {
            return Ok(None);
        };
        let text = self.secret_text(name, &entry.node, Insert::AsItIs)?;
        if text.value.is_empty() {
            return Err(self.bad(Code::BadValue, name, &text, "is empty"));
        }
        Ok(Some((Secret::new(text.value), text.span)))
    }

    /// The text of a secret under `node`. `Text::shown` never holds it.
    pub fn secret_text(&self, name: &str, node: &Node, insert: Insert) -> Read<Text> {
        let text = self.expand(name, node, insert, true)?;
        let Some(path) = text.value.strip_prefix("file:") else {
            return Ok(text);
        };
        let path = self.reader.resolve(path);
        let value = read_secret_file(&path).map_err(|fault| {
            // The path is shown: it was written to be a reference. A secret that begins with `file:` cannot be one.
            let message = format!("{}: {} {fault}", self.path_of(name), path.display());
            let remedy = "check the path (relative to the configuration file) and its permissions";
            self.report(Code::SecretFile, text.span, message, remedy)
        })?;
        Ok(Text { value, ..text })
    }
}

/// The file's text without its last line break.
fn read_secret_file(path: &Path) -> Result<String, String> {
    let file = File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
    let mut bytes = Vec::new();
    file.take(SECRET_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("cannot be read: {error}"))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > SECRET_BYTES_MAX {
        return Err("is larger than 64KiB".to_owned());
    }
    let mut text = String::from_utf8(bytes).map_err(|_| "is not UTF-8 text".to_owned())?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    Ok(text)
}
