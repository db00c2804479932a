//! A message's attributes, and the two ways in which they travel.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::error::WireError;

/// The most attributes of a message.
pub const ATTRIBUTES_MAX: usize = 64;
/// The longest value of an attribute, in bytes.
pub const ATTRIBUTE_BYTES_MAX: usize = 4_096;
/// The content type of a body in JSON.
pub const JSON: &str = "application/json";

const CONTENT_TYPE: &str = "datacontenttype";
const KAFKA: &str = "ce_";
const HTTP: &str = "ce-";

/// A message's attributes by name, without their prefix. The content type is the one named `datacontenttype`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes(BTreeMap<String, String>);

impl Attributes {
    /// Those of a message in JSON.
    pub fn new() -> Attributes {
        let mut attributes = Attributes::default();
        attributes.set("specversion", "1.0");
        attributes.set(CONTENT_TYPE, JSON);
        attributes
    }

    /// What an attribute says.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Gives an attribute a value.
    pub fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// What the body is written in; `None` if it is not said.
    pub fn content_type(&self) -> Option<&str> {
        self.get(CONTENT_TYPE)
    }

    /// As headers of a Kafka record: values as they are.
    pub fn to_kafka(&self) -> impl Iterator<Item = (String, &str)> {
        self.0.iter().map(|(name, value)| {
            let header = match name.as_str() {
                CONTENT_TYPE => "content-type".to_owned(),
                name => format!("{KAFKA}{name}"),
            };
            (header, value.as_str())
        })
    }

    /// As headers of an HTTP message: what is not printable ASCII is percent-encoded.
    pub fn to_http(&self) -> impl Iterator<Item = (String, String)> {
        self.0.iter().map(|(name, value)| match name.as_str() {
            CONTENT_TYPE => ("content-type".to_owned(), value.clone()),
            name => (format!("{HTTP}{name}"), percent_encoded(value)),
        })
    }

    /// Out of a Kafka record's headers; those that are none of ours are passed over.
    ///
    /// # Errors
    /// [`WireError`], if one is there twice, too long or no text, or if there are too many.
    pub fn from_kafka<'a>(
        headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Attributes, WireError> {
        read(headers, KAFKA, |value| Some(value.to_owned()))
    }

    /// Out of an HTTP message's headers; those that are none of ours are passed over.
    ///
    /// # Errors
    /// As [`Attributes::from_kafka`].
    pub fn from_http<'a>(
        headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Attributes, WireError> {
        read(headers, HTTP, percent_decoded)
    }

    /// What an attribute that must be there says.
    pub(super) fn need(&self, name: &'static str) -> Result<&str, WireError> {
        self.get(name).ok_or(WireError::Missing(name))
    }
}

fn read<'a>(
    headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    prefix: &str,
    decoded: fn(&str) -> Option<String>,
) -> Result<Attributes, WireError> {
    let mut attributes = Attributes::default();
    for (header, value) in headers {
        let header = header.to_ascii_lowercase();
        let (name, decoded) = match header.strip_prefix(prefix) {
            Some(name) => (name, decoded),
            None if header == "content-type" => (CONTENT_TYPE, whole as fn(&str) -> _),
            None => continue,
        };
        let shown = || name.chars().take(20).collect::<String>();
        if value.len() > ATTRIBUTE_BYTES_MAX {
            return Err(WireError::Long(shown()));
        }
        let text = std::str::from_utf8(value).ok().and_then(decoded);
        let text = text.filter(|it| !it.chars().any(char::is_control));
        let text = text.ok_or_else(|| WireError::NoText(shown()))?;
        if attributes.0.len() == ATTRIBUTES_MAX {
            return Err(WireError::Many);
        }
        if attributes.0.insert(name.to_owned(), text).is_some() {
            return Err(WireError::Twice(shown()));
        }
    }
    Ok(attributes)
}

fn whole(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// As CloudEvents' HTTP binding has it: every byte of a character outside `!` to `~`, and of space, `"` and `%`.
fn percent_encoded(text: &str) -> String {
    text.bytes()
        .fold(String::with_capacity(text.len()), |mut to, byte| {
            match byte {
                b'"' | b'%' => write!(to, "%{byte:02X}"),
                b'!'..=b'~' => to.write_char(char::from(byte)),
                _ => write!(to, "%{byte:02X}"),
            }
            .expect("a String takes all that is written");
            to
        })
}

/// The text of [`percent_encoded`], and of values in double quotes; `None` if it is not UTF-8. A `%` that nothing follows stands for itself.
fn percent_decoded(text: &str) -> Option<String> {
    let inner = text.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
    let unquoted = inner.map(|it| {
        let mut letters = it.chars();
        let next = || match letters.next() {
            Some('\\') => letters.next(),
            letter => letter,
        };
        std::iter::from_fn(next).collect::<String>()
    });
    let bytes = unquoted.as_deref().unwrap_or(text).as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        let pair = after.first_chunk::<2>().filter(|_| *first == b'%');
        match pair.and_then(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)) {
            Some(byte) => {
                plain.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                plain.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(plain).ok()
}

fn digit(letter: u8) -> Option<u8> {
    char::from(letter)
        .to_digit(16)
        .and_then(|it| u8::try_from(it).ok())
}
