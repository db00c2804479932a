//! YAML text → nodes with positions. Scalars stay the text that was written (`7d`, `010`, `off`), so that a setting
//! decides what its value means, not YAML's guesses.
//!
//! Bounded: nesting, and the total weight of all nodes with aliases counted wherever they are used (a page of nested
//! aliases stays a page of text but would be billions of nodes).

use std::collections::HashMap;

use serde_saphyr::granit_parser::{self as yaml, Event, Options, Parser, ScalarStyle, Tag};

use super::code::Code;
use super::issue::Issue;
use super::source::{Place, Span};
use super::syntax;

/// Blocks inside blocks at most; the format itself needs 6.
const DEPTH_MAX: usize = 16;
/// Nodes count [`NODE_WEIGHT`] plus their text, up to this sum.
const WEIGHT_MAX: usize = 8 * 1024 * 1024;
const NODE_WEIGHT: usize = 64;

/// One value of the file with its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub span: Span,
    pub value: Value,
    weight: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A plain or quoted text.
#[derive(Clone, Debug)]
pub(super) struct Scalar {
    pub text: String,
    /// Written in quotes or as a block, so that an empty text is meant.
    pub quoted: bool,
    /// Brought here by an alias; its place is that of the anchor.
    pub aliased: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub key: String,
    pub key_span: Span,
    pub node: Node,
}

impl Node {
    /// Nothing, `~` or `null`: the same as leaving the key out.
    pub fn is_null(&self) -> bool {
        match &self.value {
            Value::Scalar(s) => !s.quoted && matches!(s.text.as_str(), "" | "~" | "null"),
            Value::List(_) | Value::Map(_) => false,
        }
    }

    /// What the node is, in a person's words.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            _ if self.is_null() => "nothing",
            Value::Scalar(_) => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a block of keys",
        }
    }

    pub fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
            Value::Scalar(_) | Value::List(_) => None,
        }
    }
}

/// What the text holds, and what every snippet must know about it.
pub(super) struct Tree {
    pub root: Option<Node>,
    /// All scalar values (not keys) and comments: hidden in snippets unless read as something that may be shown.
    pub values: Vec<Span>,
}

/// Reads the text. Duplicate keys are collected and reading goes on; a mistake of syntax or size ends it.
pub(super) fn parse(text: &str, issues: &mut Vec<Issue>) -> Result<Tree, Box<Issue>> {
    let mut builder = Builder::default();
    let mut options = Options::default();
    options.emit_anchor_events = true;
    for item in Parser::new_from_str_with_options(text, options) {
        let (event, span) = item.map_err(|error| Box::new(syntax::issue(text, &error)))?;
        builder.take(event, span_of(&span), issues)?;
    }
    Ok(Tree {
        root: builder.root,
        values: builder.values,
    })
}

fn span_of(span: &yaml::Span) -> Span {
    Span {
        start: place_of(&span.start),
        end: place_of(&span.end),
    }
}

pub(super) fn place_of(marker: &yaml::Marker) -> Place {
    Place {
        line: u32::try_from(marker.line()).unwrap_or(u32::MAX),
        column: u32::try_from(marker.col().saturating_add(1)).unwrap_or(u32::MAX),
    }
}

/// A collection whose end has not come yet.
struct Open {
    span: Span,
    anchor: usize,
    weight: usize,
    kind: OpenKind,
}

enum OpenKind {
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        /// The line of each key.
        lines: HashMap<String, u32>,
        pending: Option<(String, Span)>,
    },
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    root: Option<Node>,
    values: Vec<Span>,
    weight: usize,
    documents: usize,
}

impl Builder {
    fn take(
        &mut self,
        event: Event<'_>,
        span: Span,
        issues: &mut Vec<Issue>,
    ) -> Result<(), Box<Issue>> {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(second_document(span));
                }
                Ok(())
            }
            // A password that begins with '&' is an anchor to YAML.
            Event::Comment(..) | Event::Anchor(..) => {
                self.values.push(span);
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                refuse_tag(tag.as_deref(), span)?;
                let quoted = style != ScalarStyle::Plain;
                self.scalar(text.into_owned(), quoted, anchor, span, issues)
            }
            Event::SequenceStart(_, anchor, tag) => {
                refuse_tag(tag.as_deref(), span)?;
                self.start(span, anchor, OpenKind::List(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                refuse_tag(tag.as_deref(), span)?;
                let entries = Vec::new();
                self.start(
                    span,
                    anchor,
                    OpenKind::Map {
                        entries,
                        lines: HashMap::new(),
                        pending: None,
                    },
                )
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(span, issues),
            Event::Alias(id) => {
                let mut node = self
                    .anchors
                    .get(&id)
                    .cloned()
                    .ok_or_else(|| unknown_alias(span))?;
                self.charge(node.weight, span)?;
                if let Value::Scalar(scalar) = &mut node.value {
                    scalar.aliased = true;
                }
                self.place(node, issues)
            }
            _ => Ok(()),
        }
    }

    fn charge(&mut self, weight: usize, span: Span) -> Result<(), Box<Issue>> {
        self.weight = self.weight.saturating_add(weight);
        if self.weight <= WEIGHT_MAX {
            return Ok(());
        }
        Err(Box::new(Issue::new(
            Code::TooComplex,
            span,
            "too many values in one file (aliases count wherever they are used)",
            "write the values out, or split what the file holds over several",
        )))
    }

    fn start(&mut self, span: Span, anchor: usize, kind: OpenKind) -> Result<(), Box<Issue>> {
        if self.open.len() >= DEPTH_MAX {
            return Err(too_deep(span));
        }
        if let Some(Open {
            kind: OpenKind::Map { pending: None, .. },
            ..
        }) = self.open.last()
        {
            return Err(Box::new(Issue::new(
                Code::Syntax,
                span,
                "a list or block cannot be a key",
                "keys are plain words followed by ':'; quote a text that begins with '[', '{' or '*'",
            )));
        }
        self.charge(NODE_WEIGHT, span)?;
        self.open.push(Open {
            span,
            anchor,
            weight: NODE_WEIGHT,
            kind,
        });
        Ok(())
    }

    fn end(&mut self, span: Span, issues: &mut Vec<Issue>) -> Result<(), Box<Issue>> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let value = match open.kind {
            OpenKind::List(items) => Value::List(items),
            OpenKind::Map { entries, .. } => Value::Map(entries),
        };
        let span = Span {
            start: open.span.start,
            end: span.end,
        };
        let node = Node {
            span,
            value,
            weight: open.weight,
        };
        self.remember(open.anchor, &node)?;
        self.place(node, issues)
    }

    fn scalar(
        &mut self,
        text: String,
        quoted: bool,
        anchor: usize,
        span: Span,
        issues: &mut Vec<Issue>,
    ) -> Result<(), Box<Issue>> {
        if let Some(Open {
            kind: OpenKind::Map { pending, .. },
            ..
        }) = self.open.last_mut()
            && pending.is_none()
        {
            if let Some((word, _)) = text.split_once(may_begin_a_value) {
                self.values.push(after_first_word(span, word));
            }
            *pending = Some((text, span));
            return Ok(());
        }
        self.values.push(span);
        let weight = NODE_WEIGHT.saturating_add(text.len());
        self.charge(weight, span)?;
        let value = Value::Scalar(Scalar {
            text,
            quoted,
            aliased: false,
        });
        let node = Node {
            span,
            value,
            weight,
        };
        self.remember(anchor, &node)?;
        self.place(node, issues)
    }

    /// Keeps an anchored node for its aliases; the copy counts as well.
    fn remember(&mut self, anchor: usize, node: &Node) -> Result<(), Box<Issue>> {
        if anchor != 0 {
            self.charge(node.weight, node.span)?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(())
    }

    fn place(&mut self, node: Node, issues: &mut Vec<Issue>) -> Result<(), Box<Issue>> {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.weight = open.weight.saturating_add(node.weight);
        match &mut open.kind {
            OpenKind::List(items) => items.push(node),
            OpenKind::Map {
                entries,
                lines,
                pending,
            } => {
                let Some((key, key_span)) = pending.take() else {
                    return Err(Box::new(Issue::new(
                        Code::Syntax,
                        node.span,
                        "an alias cannot be a key",
                        "write the key out",
                    )));
                };
                if let Some(line) = lines.get(&key) {
                    issues.push(Issue::new(
                        Code::DuplicateKey,
                        key_span,
                        format!(
                            "key '{}' stands twice in this block; first on line {line}",
                            printable_key(&key)
                        ),
                        "remove one of the two; if both were meant, merge what is under them",
                    ));
                    return Ok(());
                }
                // Without a value it may be the rest of a text that holds a ','.
                if node.is_null() {
                    self.values.push(key_span);
                }
                lines.insert(key.clone(), key_span.start.line);
                entries.push(Entry {
                    key,
                    key_span,
                    node,
                });
            }
        }
        Ok(())
    }
}

/// A name from the file made fit for a message: bounded, without control characters.
pub(super) fn printable(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    let mut shown: String = text
        .chars()
        .take(CHARS_MAX)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

/// A key made fit for a message. What follows a blank or a colon is left out: it may be a value that was meant to stand
/// apart from its key.
pub(super) fn printable_key(key: &str) -> String {
    match key.split_once(may_begin_a_value) {
        Some((word, _)) => format!("{} …", printable(word)),
        None => printable(key),
    }
}

fn may_begin_a_value(c: char) -> bool {
    c.is_whitespace() || c == ':'
}

/// The part of a key that may be a value.
fn after_first_word(span: Span, word: &str) -> Span {
    // A quoted key begins one column later; then one more character is hidden.
    let chars = u32::try_from(word.chars().count()).unwrap_or(u32::MAX);
    let column = span.start.column.saturating_add(chars);
    Span {
        start: Place {
            column,
            ..span.start
        },
        end: span.end,
    }
}

fn refuse_tag(tag: Option<&Tag>, span: Span) -> Result<(), Box<Issue>> {
    match tag {
        Some(tag) if !tag.is_yaml_core_schema() => Err(Box::new(Issue::new(
            Code::Syntax,
            span,
            "a tag ('!…') has no meaning here",
            "remove the tag; quote the text if it begins with '!'",
        ))),
        Some(_) | None => Ok(()),
    }
}

fn second_document(span: Span) -> Box<Issue> {
    Box::new(Issue::new(
        Code::Syntax,
        span,
        "a second document begins here ('---')",
        "keep one document per file",
    ))
}

fn unknown_alias(span: Span) -> Box<Issue> {
    Box::new(Issue::new(
        Code::Syntax,
        span,
        "this alias refers to a value that contains it, or to none",
        "define the anchor ('&name') on an earlier value, or quote a text that begins with '*'",
    ))
}

pub(super) fn too_deep(span: Span) -> Box<Issue> {
    Box::new(Issue::new(
        Code::TooComplex,
        span,
        format!("blocks nested more than {DEPTH_MAX} deep"),
        "look for an indentation or bracket that went wrong",
    ))
}
