//! The parts of a record's key and value, taken apart without interpreting them: with an embedded schema or bare.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::envelope::EnvelopeError;

/// An object's members in the order they stand.
#[derive(Debug, Default)]
pub(super) struct Members<'a>(pub(super) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        let member = self.0.iter().find(|(member, _)| member == name);
        member.map(|(_, value)| *value)
    }

    pub(super) fn parse(json: &'a str, what: &'static str) -> Result<Self, EnvelopeError> {
        serde_json::from_str(json).map_err(|error| EnvelopeError::parse(&error, what))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Vec::with_capacity(16);
        while let Some(Name(name)) = map.next_key()? {
            members.push((name, map.next_value()?));
        }
        Ok(Members(members))
    }
}

/// A member's name, borrowed unless it holds escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a member's name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

/// A key or a value, and the schema that came with it.
#[derive(Debug)]
pub(super) struct Payload<'a> {
    pub(super) members: Members<'a>,
    pub(super) schema: Option<&'a RawValue>,
}

/// Takes `{"schema":…,"payload":…}` apart, or a bare payload; `None` if the payload is null.
pub(super) fn payload<'a>(
    bytes: &'a [u8],
    what: &'static str,
) -> Result<Option<Payload<'a>>, EnvelopeError> {
    let text = std::str::from_utf8(bytes).map_err(|_| EnvelopeError::malformed(what))?;
    if text.trim() == "null" {
        return Ok(None);
    }
    let members = Members::parse(text, what)?;
    let (2, Some(schema), Some(payload)) = (
        members.0.len(),
        members.get("schema"),
        members.get("payload"),
    ) else {
        return Ok(Some(Payload {
            members,
            schema: None,
        }));
    };
    // Schemas may be on for the format and off for this record.
    let schema = Some(schema).filter(|schema| schema.get() != "null");
    if payload.get() == "null" {
        return Ok(None);
    }
    Ok(Some(Payload {
        members: Members::parse(payload.get(), what)?,
        schema,
    }))
}
