//! Walks the tree block by block: finds keys, converts values, and collects what is wrong instead of stopping at it.

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Duration;

use super::code::Code;
use super::interpolate::{self, Insert, Lookup};
use super::issue::{self, Issue};
use super::keys::{self, Absent, Key, Takes};
use super::scalar;
use super::source::{Source, Span};
use super::tree::{Entry, Node, Value, printable, printable_key};

/// The value could not be read; the reason has been recorded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reported;

/// A value, or word that its mistake has been recorded.
pub(super) type Read<T> = Result<T, Reported>;

/// What all blocks of one file share.
pub(super) struct Reader<'a> {
    pub source: Source<'a>,
    /// Relative paths start here: the directory of the file.
    pub dir: PathBuf,
    /// None: what is read is the same wherever it is read, so it holds no variables.
    pub lookup: Option<Lookup<'a>>,
    pub issues: RefCell<Vec<Issue>>,
    /// Values that snippets may show, since they were read as something other than a secret.
    pub shown: RefCell<Vec<Span>>,
}

impl Reader<'_> {
    pub fn report(&self, issue: Issue) -> Reported {
        self.issues.borrow_mut().push(issue);
        Reported
    }

    /// Lets snippets show every value under `node`.
    fn show_all(&self, node: &Node) {
        match &node.value {
            Value::Scalar(scalar) if scalar.aliased => {}
            Value::Scalar(_) => self.shown.borrow_mut().push(node.span),
            Value::List(items) => items.iter().for_each(|item| self.show_all(item)),
            Value::Map(entries) => entries.iter().for_each(|entry| self.show_all(&entry.node)),
        }
    }

    pub fn resolve(&self, path: &str) -> PathBuf {
        self.dir.join(path)
    }
}

/// A text with the place it came from; the place of a default is its block.
#[derive(Clone, Debug)]
pub(super) struct Text {
    pub value: String,
    pub span: Span,
    /// How a message may speak of it: the text itself, or the variable that held it.
    pub shown: String,
}

/// One block of the file with the table of its keys. Unknown keys are reported when it is made.
pub(super) struct Block<'a> {
    pub reader: &'a Reader<'a>,
    keys: &'static [Key],
    /// `pipelines.shop.apply`; empty for the file itself.
    pub path: String,
    entries: &'a [Entry],
    /// The key that opens the block.
    pub span: Span,
}

impl<'a> Block<'a> {
    /// The block under `node`; None stands for a block that is not written, whose keys all have their defaults.
    pub fn open(
        reader: &'a Reader<'a>,
        keys: &'static [Key],
        path: String,
        node: Option<&'a Node>,
        span: Span,
    ) -> Read<Block<'a>> {
        let entries: &[Entry] = match node.map(|node| (&node.value, node)) {
            None => &[],
            Some((_, node)) if node.is_null() => &[],
            Some((Value::Map(entries), _)) => entries,
            Some((_, node)) => {
                let what = if path.is_empty() { "the file" } else { &path };
                return Err(reader.report(Issue::new(
                    Code::WrongKind,
                    node.span,
                    format!("{what} takes a block of keys, found {}", node.kind()),
                    format!(
                        "write 'key: value' lines under it; its keys are {}",
                        names(keys)
                    ),
                )));
            }
        };
        let known = |entry: &&Entry| keys.iter().any(|key| key.name == entry.key);
        let known_spans = entries.iter().filter(known).map(|entry| entry.key_span);
        reader.shown.borrow_mut().extend(known_spans);
        let block = Block {
            reader,
            keys,
            path,
            entries,
            span,
        };
        block.report_unknown_keys();
        Ok(block)
    }

    fn report_unknown_keys(&self) {
        for entry in self.unknown_entries() {
            let place = if self.path.is_empty() {
                "at the top level".to_owned()
            } else {
                format!("in {}", self.path)
            };
            let meant = self.meant_by(entry);
            let mut message = format!("unknown key '{}' {place}", printable_key(&entry.key));
            let mut remedy = format!("known keys here: {}", names(self.keys));
            if entry.node.is_null() && meant.is_none() {
                // Not named: it may be the rest of a secret.
                message = format!("a text that is neither a key nor its value {place}");
                remedy = format!("write 'key: value', and quote texts that hold commas; {remedy}");
            }
            let issue = Issue::new(Code::UnknownKey, entry.key_span, message, remedy);
            if meant.is_some_and(|key| key.takes.is_never_secret()) {
                self.reader.show_all(&entry.node);
            }
            self.reader.report(Issue {
                did_you_mean: meant.map(|key| key.name.to_owned()),
                ..issue
            });
        }
    }

    fn unknown_entries(&self) -> impl Iterator<Item = &'a Entry> {
        let known = |entry: &&Entry| self.keys.iter().any(|key| key.name == entry.key);
        self.entries.iter().filter(move |entry| !known(entry))
    }

    /// Whether an unknown key has been reported, which may stand for whatever is found missing.
    pub fn has_unknown_keys(&self) -> bool {
        self.unknown_entries().next().is_some()
    }

    /// The known key that an unknown one is nearest to.
    fn meant_by(&self, entry: &Entry) -> Option<&'static Key> {
        let known = self.keys.iter().map(|key| key.name);
        let name = issue::nearest(&entry.key, known)?;
        self.keys.iter().find(|key| key.name == name)
    }

    /// The full name of a key of this block.
    pub fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// The entry, if it is written (a `key:` with nothing under it counts).
    pub fn entry(&self, name: &str) -> Option<&'a Entry> {
        self.entries.iter().find(|entry| entry.key == name)
    }

    /// Where the value stands, or the block's key if it is not written.
    pub fn span_of(&self, name: &str) -> Span {
        self.entry(name).map_or(self.span, |entry| entry.node.span)
    }

    pub fn is_written(&self, name: &str) -> bool {
        self.entry(name).is_some_and(|entry| !entry.node.is_null())
    }

    pub fn report(&self, code: Code, span: Span, message: String, remedy: &str) -> Reported {
        self.reader.report(Issue::new(code, span, message, remedy))
    }

    /// A required key is absent. Says nothing if a misspelt one that stands for it has been reported.
    pub fn missing(&self, name: &str) -> Reported {
        let mut unknown = self.unknown_entries();
        if unknown.any(|entry| self.meant_by(entry).is_some_and(|key| key.name == name)) {
            return Reported;
        }
        let key = keys::find(self.keys, name);
        let takes = match key.takes {
            Takes::Block(inner) => format!("a block with {}", names(inner)),
            ref takes => super::reference::takes_in_words(takes),
        };
        let place = if self.path.is_empty() {
            "the file".to_owned()
        } else {
            self.path.clone()
        };
        self.report(
            Code::MissingKey,
            self.span,
            format!("{place} has no '{name}'"),
            &format!("add '{name}:' ({takes})"),
        )
    }

    /// The block called `name`, written or not.
    pub fn block(&self, name: &str) -> Read<Block<'a>> {
        let Takes::Block(inner) = keys::find(self.keys, name).takes else {
            unreachable!("{name} is declared as a block");
        };
        let entry = self.entry(name);
        let span = entry.map_or(self.span, |entry| entry.key_span);
        let node = entry.map(|entry| &entry.node);
        Block::open(self.reader, inner, self.path_of(name), node, span)
    }

    /// The entries of a block whose names the user chooses.
    pub fn each(&self, name: &str) -> Read<&'a [Entry]> {
        let key = keys::find(self.keys, name);
        let Some(entry) = self.entry(name).filter(|entry| !entry.node.is_null()) else {
            return match key.absent {
                Absent::Required => Err(self.missing(name)),
                Absent::Default(_) | Absent::Means(_) => Ok(&[]),
            };
        };
        match &entry.node.value {
            Value::Map(entries) => Ok(entries),
            Value::Scalar(_) | Value::List(_) => {
                Err(self.wrong_kind(name, &entry.node, "a block of keys"))
            }
        }
    }

    pub fn wrong_kind(&self, name: &str, node: &Node, wanted: &str) -> Reported {
        let key = self.keys.iter().find(|key| key.name == name);
        if key.is_some_and(|key| key.takes.is_never_secret()) {
            self.reader.show_all(node);
        }
        let remedy = key.map_or_else(
            || format!("write {wanted}"),
            |key| {
                format!(
                    "'{name}' takes {}",
                    super::reference::takes_in_words(&key.takes)
                )
            },
        );
        self.report(
            Code::WrongKind,
            node.span,
            format!(
                "{} takes {wanted}, found {}",
                self.path_of(name),
                node.kind()
            ),
            &remedy,
        )
    }

    /// A text as written, references replaced. `secret` keeps it out of snippets and messages.
    pub fn expand(&self, name: &str, node: &Node, insert: Insert, secret: bool) -> Read<Text> {
        let Value::Scalar(written) = &node.value else {
            return Err(self.wrong_kind(name, node, "a single value"));
        };
        if node.is_null() {
            return Err(self.report(
                Code::WrongKind,
                node.span,
                format!("{} has no value", self.path_of(name)),
                &format!("give '{name}' a value, or remove the line"),
            ));
        }
        // What an alias brings may have been written as a secret elsewhere.
        let hidden = secret || written.aliased;
        if !hidden {
            self.reader.shown.borrow_mut().push(node.span);
        }
        let expanded = match self.reader.lookup {
            Some(lookup) => interpolate::expand(&written.text, lookup, insert),
            None => interpolate::none_in(&written.text),
        };
        let expanded = expanded.map_err(|fault| {
            let span = self.reader.source.locate(node.span, &fault.needle);
            let message = format!("{} (in {})", fault.message, self.path_of(name));
            self.report(Code::Variable, span, message, &fault.remedy)
        })?;
        let shown = match expanded.variables.first() {
            Some(variable) => format!("the value of ${{{variable}}}"),
            None if hidden => "the value".to_owned(),
            None => format!("'{}'", printable(&expanded.text)),
        };
        Ok(Text {
            value: expanded.text,
            span: node.span,
            shown,
        })
    }

    /// The text of a key, its default, or None where absence has a meaning of its own.
    pub fn text_if_any(&self, name: &str) -> Read<Option<Text>> {
        let key = keys::find(self.keys, name);
        if let Some(entry) = self.entry(name) {
            return self
                .expand(name, &entry.node, Insert::AsItIs, false)
                .map(Some);
        }
        match key.absent {
            Absent::Required => Err(self.missing(name)),
            Absent::Means(_) => Ok(None),
            Absent::Default(default) => Ok(Some(Text {
                value: default.to_owned(),
                span: self.span,
                shown: format!("'{default}'"),
            })),
        }
    }

    /// The text of a key that is required or has a default.
    pub fn text(&self, name: &str) -> Read<Text> {
        self.text_if_any(name)?.ok_or(Reported)
    }

    pub fn bad(&self, code: Code, name: &str, text: &Text, fault: &str) -> Reported {
        let key = keys::find(self.keys, name);
        let takes = super::reference::takes_in_words(&key.takes);
        let path = self.path_of(name);
        self.report(
            code,
            text.span,
            format!("{path}: {} {fault}", text.shown),
            &format!("'{name}' takes {takes}"),
        )
    }

    fn in_range(&self, name: &str, text: &Text, value: u64, min: u64, max: u64) -> Read<u64> {
        if (min..=max).contains(&value) {
            return Ok(value);
        }
        let side = if value < min { "below" } else { "above" };
        Err(self.bad(
            Code::OutOfRange,
            name,
            text,
            &format!("is {side} the limit"),
        ))
    }

    /// A whole number. `T` must hold the range that the key's table gives.
    pub fn count<T: TryFrom<u64>>(&self, name: &str) -> Read<T> {
        let text = self.text(name)?;
        let value = scalar::count(&text.value)
            .map_err(|fault| self.bad(Code::BadValue, name, &text, &fault))?;
        let takes = &keys::find(self.keys, name).takes;
        let (Takes::Count { min, max }
        | Takes::CountOr { min, max, .. }
        | Takes::PowerOfTwo { min, max }) = *takes
        else {
            unreachable!("{name} is declared as {takes:?}, not a number");
        };
        let value = self.in_range(name, &text, value, min, max)?;
        if matches!(takes, Takes::PowerOfTwo { .. }) && !value.is_power_of_two() {
            return Err(self.bad(Code::OutOfRange, name, &text, "is not a power of two"));
        }
        T::try_from(value).map_err(|_| self.bad(Code::OutOfRange, name, &text, "is too large"))
    }

    /// A whole number; `None` where the key's word stands in its place.
    pub fn count_or_word<T: TryFrom<u64>>(&self, name: &str) -> Read<Option<T>> {
        match keys::find(self.keys, name).takes {
            Takes::CountOr { word, .. } if self.text(name)?.value == word => Ok(None),
            _ => self.count(name).map(Some),
        }
    }

    /// A size in bytes.
    pub fn bytes(&self, name: &str) -> Read<u64> {
        let Takes::Bytes { min, max } = keys::find(self.keys, name).takes else {
            unreachable!("{name} is declared as a size");
        };
        let text = self.text(name)?;
        let value = scalar::bytes(&text.value)
            .map_err(|fault| self.bad(Code::BadValue, name, &text, &fault))?;
        self.in_range(name, &text, value, min, max)
    }

    pub fn duration(&self, name: &str) -> Read<Duration> {
        let Takes::Duration { min_ms, max_ms } = keys::find(self.keys, name).takes else {
            unreachable!("{name} is declared as a duration");
        };
        let text = self.text(name)?;
        let value = scalar::duration(&text.value)
            .map_err(|fault| self.bad(Code::BadValue, name, &text, &fault))?;
        let ms = u64::try_from(value.as_millis()).unwrap_or(u64::MAX);
        self.in_range(name, &text, ms, min_ms, max_ms)?;
        Ok(value)
    }

    pub fn flag(&self, name: &str) -> Read<bool> {
        let text = self.text(name)?;
        match text.value.as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(self.bad(Code::BadValue, name, &text, "is neither true nor false")),
        }
    }

    /// One of the words of the key's table; `meanings` stand in the same order.
    pub fn choice<T: Copy>(&self, name: &str, meanings: &[T]) -> Read<T> {
        let Takes::Word(words) = keys::find(self.keys, name).takes else {
            unreachable!("{name} is declared as a word");
        };
        let text = self.text(name)?;
        let found = words
            .iter()
            .zip(meanings)
            .find(|(word, _)| **word == text.value);
        found.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let issue = Issue::new(
                Code::BadValue,
                text.span,
                format!("{}: {} is not known", self.path_of(name), text.shown),
                format!(
                    "'{name}' takes {}",
                    super::reference::takes_in_words(&Takes::Word(words))
                ),
            );
            self.reader
                .report(issue.suggest(&text.value, words.iter().copied()))
        })
    }

    /// A path; relative ones start at the directory of the file.
    pub fn file_path(&self, name: &str) -> Read<Option<PathBuf>> {
        let Some(text) = self.text_if_any(name)? else {
            return Ok(None);
        };
        if text.value.is_empty() || text.value.contains('\0') {
            return Err(self.bad(Code::BadValue, name, &text, "is not a path"));
        }
        Ok(Some(self.reader.resolve(&text.value)))
    }
}

impl Block<'_> {
    /// Refuses a part that is larger than the whole it must fit into.
    pub fn not_above(&self, part: (&str, u64), whole: (&str, u64)) -> Read<()> {
        if part.1 <= whole.1 {
            return Ok(());
        }
        // Point at the one that is written; the other may be a default.
        let at = if self.is_written(part.0) {
            part.0
        } else {
            whole.0
        };
        Err(self.report(
            Code::Conflict,
            self.span_of(at),
            format!(
                "{} ({}) is above '{}' ({})",
                self.path_of(part.0),
                scalar::show_bytes(part.1),
                whole.0,
                scalar::show_bytes(whole.1)
            ),
            &format!("lower '{}' or raise '{}'", part.0, whole.0),
        ))
    }
}

/// The names of a table, for a message.
fn names(keys: &'static [Key]) -> String {
    let names: Vec<&str> = keys.iter().map(|key| key.name).collect();
    names.join(", ")
}
