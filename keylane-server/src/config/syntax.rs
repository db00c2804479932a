//! Mistakes of YAML itself, in a person's words.

use serde_saphyr::granit_parser::{ErrorKind, ScanError};

use super::code::Code;
use super::issue::Issue;
use super::source::{Place, Span};
use super::tree;

/// What a person is told about the mistake.
pub(super) fn issue(text: &str, error: &ScanError) -> Issue {
    let mut place = tree::place_of(error.marker());
    // At the end of the text the marker may stand behind the last line.
    let lines = u32::try_from(text.lines().count())
        .unwrap_or(u32::MAX)
        .max(1);
    if place.line > lines {
        let last = text.lines().last().unwrap_or_default();
        let column = u32::try_from(last.chars().count()).unwrap_or(u32::MAX);
        place = Place {
            line: lines,
            column: column.saturating_add(1),
        };
    }
    let span = Span::on_line(place, 1);
    let (message, remedy) = words(error.kind());
    if *error.kind() == ErrorKind::RecursionLimitExceeded {
        return *tree::too_deep(span);
    }
    Issue::new(Code::Syntax, span, message, remedy)
}

fn words(kind: &ErrorKind) -> (String, &'static str) {
    let (message, remedy) = match kind {
        ErrorKind::TabInIndentation
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabNotAllowed
        | ErrorKind::TabAtBlockScalarStart
        | ErrorKind::TabInPlainScalar => (
            "a tab where YAML allows only spaces",
            "indent with spaces (two per level)",
        ),
        ErrorKind::UnclosedQuotedScalar
        | ErrorKind::InvalidQuotedScalarIndent
        | ErrorKind::DocumentIndicatorInQuotedScalar => (
            "a quote is not closed",
            "close the quote on the same line, or remove it",
        ),
        kind if is_open_bracket(kind) => (
            "a '[' or '{' is not closed, or a ',' is missing",
            "close the bracket; quote texts that hold brackets or commas, such as \"${NAME}\" inside { }",
        ),
        ErrorKind::MisplacedFlowCollectionEnd | ErrorKind::MismatchedFlowCollectionEnd { .. } => (
            "a closing bracket without its opening one",
            "remove it or write the matching one; quote texts that hold brackets",
        ),
        ErrorKind::InvalidIndentation
        | ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::SimpleKeyExpected
        | ErrorKind::InvalidSimpleKey
        | ErrorKind::MappingKeyNotAllowed
        | ErrorKind::MappingValueNotAllowed => (
            "this does not fit the lines above it",
            "write 'key: value' with a space after the colon, here and above, and indent it like its neighbours",
        ),
        ErrorKind::InvalidColonPlacement | ErrorKind::FlowMappingValueAdjacentCollection => (
            "a ':' where none can stand",
            "look for a bracket or quote that is not closed above; quote texts that hold ': '",
        ),
        ErrorKind::InvalidTrailingDoubleQuotedScalar
        | ErrorKind::InvalidTrailingSingleQuotedScalar => (
            "something follows a closing quote",
            "put all of the text between the quotes; inside single quotes, write '' for one",
        ),
        ErrorKind::MissingAnchorOrAliasName => (
            "a '*' or '&' without a name",
            "quote a text that begins with '*' or '&', such as the pattern \"*\"",
        ),
        ErrorKind::UnknownAnchor => (
            "an alias ('*name') without its anchor",
            "define it on an earlier value with '&name', or quote a text that begins with '*' (patterns: \"*\")",
        ),
        ErrorKind::UnexpectedCharacter { .. } => {
            ("a character that cannot begin a value", "quote the text")
        }
        ErrorKind::UnknownQuotedScalarEscape | ErrorKind::InvalidQuotedScalarHexEscape => (
            "a backslash sequence that YAML does not know",
            "use single quotes, in which a backslash is only a backslash",
        ),
        other => {
            return (
                format!("not YAML: {other}"),
                "mend the line, or quote the text",
            );
        }
    };
    (message.to_owned(), remedy)
}

fn is_open_bracket(kind: &ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::UnclosedFlowCollection { .. }
            | ErrorKind::ExpectedFlowMappingSeparator
            | ErrorKind::ExpectedFlowSequenceSeparator
            | ErrorKind::UnexpectedEofFlowMapping
            | ErrorKind::UnexpectedEofFlowSequence
            | ErrorKind::UnexpectedEofImplicitFlowMapping
    )
}
