//! `if`: the core's language, with a mistake at the character where it stands.

use keylane_core::saga::Condition;

use super::code::SagaCode;
use super::findings::fit;
use crate::config::code::Code;
use crate::config::reader::{Block, Read};

/// The field of a step.
pub(super) fn read(block: &Block<'_>) -> Read<Option<Condition>> {
    let Some(text) = block.raw_if_written("if")? else {
        return Ok(None);
    };
    Condition::parse(&text.value).map(Some).map_err(|why| {
        let source = &block.reader.source;
        block.report(
            Code::Saga(SagaCode::Condition),
            source.character(text.span, &text.value, why.at),
            fit(&format!("{}: {why}", block.path_of("if"))),
            "compare paths ($.price, $step.name), numbers and texts in quotes by ==, !=, <, <=, >, >=, and join by and, or, not",
        )
    })
}
