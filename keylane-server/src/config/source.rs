//! The file's text and positions in it, and the one way a line of it becomes printable.

use super::error::Snippet;
use super::look;

/// Characters of a line that a snippet shows at most.
const SNIPPET_CHARS_MAX: usize = 120;
/// Characters kept before the caret when a long line is cut.
const SNIPPET_LEAD_CHARS: usize = 40;
/// Carets drawn at most.
const CARETS_MAX: usize = 60;
const MASK: &str = "***";

/// A place in the file: line and column from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub line: u32,
    pub column: u32,
}

/// A stretch of the file; `end` is exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    pub start: Place,
    pub end: Place,
}

impl Span {
    /// A stretch of `chars` characters on one line.
    pub fn on_line(start: Place, chars: usize) -> Span {
        let chars = u32::try_from(chars).unwrap_or(u32::MAX);
        let end = Place {
            line: start.line,
            column: start.column.saturating_add(chars),
        };
        Span { start, end }
    }

    /// The columns (from 1, end exclusive) this span covers on `line`, if any.
    fn columns_on(&self, line: u32) -> Option<(u32, u32)> {
        if line < self.start.line || line > self.end.line {
            return None;
        }
        let from = if line == self.start.line {
            self.start.column
        } else {
            1
        };
        let to = if line == self.end.line {
            self.end.column
        } else {
            u32::MAX
        };
        (from < to).then_some((from, to))
    }
}

/// The text of the file.
pub(super) struct Source<'a> {
    pub text: &'a str,
}

impl<'a> Source<'a> {
    pub fn line(&self, line: u32) -> Option<&'a str> {
        let index = usize::try_from(line).ok()?.checked_sub(1)?;
        self.text.lines().nth(index)
    }

    /// Where `needle` stands inside `span`, or `span`.
    pub fn locate(&self, span: Span, needle: &str) -> Span {
        for number in span.start.line..=span.end.line {
            let line = self.line(number).unwrap_or_default();
            let skip = if number == span.start.line {
                usize::try_from(span.start.column.saturating_sub(1)).unwrap_or(0)
            } else {
                0
            };
            let from = line
                .char_indices()
                .nth(skip)
                .map_or(line.len(), |(at, _)| at);
            let tail = line.get(from..).unwrap_or_default();
            if let Some((before, _)) = tail.split_once(needle) {
                let column = u32::try_from(skip + before.chars().count() + 1).unwrap_or(u32::MAX);
                let start = Place {
                    line: number,
                    column,
                };
                return Span::on_line(start, needle.chars().count());
            }
        }
        span
    }

    /// Where a character (from 1) of a value stands, if the value is written as it reads, bare or in quotes; else the whole value.
    pub fn character(&self, span: Span, value: &str, at: usize) -> Span {
        let line = self.line(span.start.line).unwrap_or_default();
        let before = usize::try_from(span.start.column.saturating_sub(1)).unwrap_or(0);
        let written: String = line.chars().skip(before).collect();
        let quote = usize::from(written.starts_with(['"', '\'']));
        if !written.get(quote..).is_some_and(|it| it.starts_with(value)) {
            return span;
        }
        let skip = u32::try_from(quote + at.saturating_sub(1)).unwrap_or(u32::MAX);
        let column = span.start.column.saturating_add(skip);
        let line = span.start.line;
        Span::on_line(Place { line, column }, 1)
    }

    /// The line under `span.start` with everything in `masked` replaced, and the carets moved along.
    pub fn snippet(&self, span: Span, masked: &[Span]) -> Option<Snippet> {
        let number = span.start.line;
        let line = self.line(number)?;
        let columns: Vec<(u32, u32)> = masked
            .iter()
            .filter_map(|mask| mask.columns_on(number))
            .collect();
        Some(draw(line, &columns, caret_columns(span, line)))
    }

    /// The line for a file that is not YAML, where nothing but the look of it tells what is a secret.
    pub fn snippet_by_look(&self, span: Span) -> Option<Snippet> {
        let number = span.start.line;
        let line = self.line(number)?;
        let masks = look::masks(self.text, number);
        Some(draw(line, &masks, caret_columns(span, line)))
    }
}

fn caret_columns(span: Span, line: &str) -> (u32, u32) {
    let from = span.start.column;
    let line_end = u32::try_from(line.trim_end().chars().count())
        .unwrap_or(u32::MAX)
        .saturating_add(1);
    let to = if span.end.line == span.start.line {
        span.end.column
    } else {
        line_end
    };
    (from, to.max(from.saturating_add(1)))
}

/// Draws `line` with the columns in `masks` replaced by `***`, and says where the carets go.
fn draw(line: &str, masks: &[(u32, u32)], caret: (u32, u32)) -> Snippet {
    let mut text: Vec<char> = Vec::new();
    let (mut caret_from, mut caret_to) = (None, None);
    let mut in_mask = false;
    let mut column = 0_u32;
    for c in line.chars() {
        column = column.saturating_add(1);
        let masked = masks.iter().any(|m| m.0 <= column && column < m.1);
        if column == caret.0 {
            caret_from = Some(if masked && in_mask {
                text.len().saturating_sub(MASK.len())
            } else {
                text.len()
            });
        }
        if column == caret.1 {
            caret_to = Some(text.len());
        }
        if masked && !in_mask {
            text.extend(MASK.chars());
        } else if !masked {
            text.push(match c {
                '\t' => '→',
                c if c.is_control() => ' ',
                c => c,
            });
        }
        in_mask = masked;
    }
    while text.last().is_some_and(|c| c.is_whitespace()) {
        text.pop();
    }
    let from = caret_from.unwrap_or(text.len());
    let to = caret_to.unwrap_or(text.len()).max(from + 1);
    cut(&text, from, to - from)
}

fn cut(text: &[char], from: usize, len: usize) -> Snippet {
    let caret_len = len.min(CARETS_MAX);
    if text.len() <= SNIPPET_CHARS_MAX {
        return Snippet {
            text: text.iter().collect(),
            caret_offset: from,
            caret_len,
        };
    }
    let first = from.saturating_sub(SNIPPET_LEAD_CHARS);
    let shown: String = text.iter().skip(first).take(SNIPPET_CHARS_MAX).collect();
    let (lead, lead_len) = if first > 0 { ("…", 1) } else { ("", 0) };
    let tail = if first + SNIPPET_CHARS_MAX < text.len() {
        "…"
    } else {
        ""
    };
    Snippet {
        text: format!("{lead}{shown}{tail}"),
        caret_offset: from - first + lead_len,
        caret_len: caret_len.min(SNIPPET_CHARS_MAX.saturating_sub(from - first).max(1)),
    }
}
