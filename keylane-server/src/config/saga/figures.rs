//! Reading what may be left out: texts, whole numbers, shares, and times by either of their names. Whether a figure makes sense is for the core's rules.

use crate::config::code::Code;
use crate::config::interpolate::Insert;
use crate::config::reader::{Block, Read, Text};
use crate::config::scalar;
use crate::config::tree::Value;

impl Block<'_> {
    /// The text of a key, if it has one. A `key:` with nothing behind it is as good as none.
    pub(super) fn text_if_written(&self, name: &str) -> Read<Option<Text>> {
        match self.entry(name).filter(|entry| !entry.node.is_null()) {
            Some(entry) => self
                .expand(name, &entry.node, Insert::AsItIs, false)
                .map(Some),
            None => Ok(None),
        }
    }

    /// A text in which `$` has a meaning of its own.
    pub(super) fn raw_if_written(&self, name: &str) -> Read<Option<Text>> {
        let Some(entry) = self.entry(name).filter(|entry| !entry.node.is_null()) else {
            return Ok(None);
        };
        let Value::Scalar(scalar) = &entry.node.value else {
            return Err(self.wrong_kind(name, &entry.node, "a single value"));
        };
        Ok(Some(Text {
            value: scalar.text.clone(),
            span: entry.node.span,
            shown: String::new(),
        }))
    }

    /// A whole number.
    pub(super) fn whole<T: TryFrom<u64>>(&self, name: &str) -> Read<Option<T>> {
        let Some(text) = self.text_if_written(name)? else {
            return Ok(None);
        };
        let value = scalar::count(&text.value)
            .map_err(|fault| self.bad(Code::BadValue, name, &text, &fault))?;
        let too_large = |_| self.bad(Code::OutOfRange, name, &text, "is above the limit");
        T::try_from(value).map(Some).map_err(too_large)
    }

    /// A number that need not be whole.
    pub(super) fn number(&self, name: &str) -> Read<Option<f64>> {
        let Some(text) = self.text_if_written(name)? else {
            return Ok(None);
        };
        match text.value.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Some(value)),
            _ => Err(self.bad(Code::BadValue, name, &text, "is not a number")),
        }
    }

    /// A time in milliseconds, written with its unit under the one name, or as a number under the other.
    pub(super) fn ms(&self, name: &str, name_ms: &str) -> Read<Option<u64>> {
        let with_unit = self.with_unit(name);
        let plain = self.whole(name_ms);
        match (with_unit?, plain?) {
            (Some(_), Some(_)) => Err(self.report(
                Code::Conflict,
                self.span_of(name_ms),
                format!("{} stands beside '{name}'", self.path_of(name_ms)),
                "both mean the same: keep one of them",
            )),
            (with_unit, plain) => Ok(with_unit.or(plain)),
        }
    }

    fn with_unit(&self, name: &str) -> Read<Option<u64>> {
        let Some(text) = self.text_if_written(name)? else {
            return Ok(None);
        };
        let time = scalar::duration(&text.value)
            .map_err(|fault| self.bad(Code::BadValue, name, &text, &fault))?;
        Ok(Some(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
    }
}
