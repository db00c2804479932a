//! Reading lists of texts, and blocks whose keys are not Keylane's.

use super::code::Code;
use super::interpolate::Insert;
use super::reader::{Block, Read, Reported, Text};
use super::source::Span;
use super::tree::{Node, Value, printable_key};

/// Items of one list at most.
const ITEMS_MAX: usize = 10_000;

/// A name the user chose with the text that belongs to it.
pub(super) struct Named {
    pub name: String,
    pub name_span: Span,
    pub text: Text,
}

impl Block<'_> {
    /// A list of texts; absent and empty are the same.
    pub fn texts(&self, name: &str) -> Read<Vec<Text>> {
        match self.entry(name) {
            Some(entry) if !entry.node.is_null() => self.texts_of(name, &entry.node),
            Some(_) | None => Ok(Vec::new()),
        }
    }

    /// The texts of the list `node`, for the key `name` of this block.
    pub fn texts_of(&self, name: &str, node: &Node) -> Read<Vec<Text>> {
        let Value::List(items) = &node.value else {
            return Err(self.wrong_kind(name, node, "a list"));
        };
        if items.len() > ITEMS_MAX {
            let message = format!("{}: more than {ITEMS_MAX} items", self.path_of(name));
            let remedy = "use patterns such as \"billing.*\"";
            return Err(self.report(Code::OutOfRange, node.span, message, remedy));
        }
        all(items
            .iter()
            .map(|item| self.expand(name, item, Insert::AsItIs, false)))
    }

    /// A block whose names are the user's, each with one text. `secret` keeps the texts out of messages.
    pub fn named(&self, name: &str, secret: bool) -> Read<Vec<Named>> {
        all(self.each(name)?.iter().map(|entry| {
            let inner = format!("{name}.{}", printable_key(&entry.key));
            let text = if secret {
                self.secret_text(&inner, &entry.node, Insert::AsItIs)
            } else {
                self.expand(&inner, &entry.node, Insert::AsItIs, false)
            };
            Ok(Named {
                name: entry.key.clone(),
                name_span: entry.key_span,
                text: text?,
            })
        }))
    }
}

/// All values, or word that at least one was wrong; every one is read, so that every mistake is recorded.
pub(super) fn all<T>(reads: impl Iterator<Item = Read<T>>) -> Read<Vec<T>> {
    let mut values = Vec::new();
    let mut failed = false;
    for read in reads {
        match read {
            Ok(value) => values.push(value),
            Err(Reported) => failed = true,
        }
    }
    if failed { Err(Reported) } else { Ok(values) }
}
