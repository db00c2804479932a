//! `input`: from YAML to JSON with paths in it. Bare `true`, `false`, `null` and numbers are what they are in JSON; everything else, and all that stands in quotes, is a text.

use keylane_core::saga::{Path, Template};
use serde_json::{Map, Number, Value as Json};

use super::code::SagaCode;
use super::findings::fit;
use crate::config::code::Code;
use crate::config::lists::all;
use crate::config::reader::{Block, Read};
use crate::config::tree::{Node, Scalar, Value, printable};

/// The field of a step, every mistake in it told.
pub(super) fn read(block: &Block<'_>) -> Read<Template> {
    let Some(entry) = block.entry("input").filter(|entry| !entry.node.is_null()) else {
        return Ok(Template::data());
    };
    let value = json(block, &entry.node)?;
    Template::parse(&value).map_err(|(text, why)| {
        let message = format!("input: '{}' is not a path: {why}", printable(&text));
        let code = Code::Saga(SagaCode::Path);
        block.report(code, entry.node.span, fit(&message), PATHS)
    })
}

const PATHS: &str = "write $.name for the saga's data, $step.name for what a step answered, or $$ for a $ that leads nowhere";

fn json(block: &Block<'_>, node: &Node) -> Read<Json> {
    match &node.value {
        Value::List(items) => all(items.iter().map(|item| json(block, item))).map(Json::Array),
        Value::Map(entries) => {
            let members = entries
                .iter()
                .map(|entry| Ok((entry.key.clone(), json(block, &entry.node)?)));
            let members: Vec<(String, Json)> = all(members)?;
            Ok(Json::Object(members.into_iter().collect::<Map<_, _>>()))
        }
        Value::Scalar(scalar) => value(block, node, scalar),
    }
}

fn value(block: &Block<'_>, node: &Node, scalar: &Scalar) -> Read<Json> {
    let text = scalar.text.as_str();
    if text.starts_with('$')
        && !text.starts_with("$$")
        && let Err(why) = Path::parse(text)
    {
        let path = block.path_of("input");
        let message = format!("{path}: '{}' is not a path: {why}", printable(text));
        let code = Code::Saga(SagaCode::Path);
        return Err(block.report(code, node.span, message, PATHS));
    }
    if scalar.quoted {
        return Ok(text.into());
    }
    match text {
        _ if node.is_null() => Ok(Json::Null),
        "true" => Ok(Json::Bool(true)),
        "false" => Ok(Json::Bool(false)),
        _ => match serde_json::from_str::<Number>(text) {
            Ok(number) if is_rounded(text, &number) => Err(block.report(
                Code::OutOfRange,
                node.span,
                format!(
                    "{}: {} would be rounded",
                    block.path_of("input"),
                    printable(text)
                ),
                "whole numbers have 64 bits; write a larger one in quotes, as a text",
            )),
            Ok(number) => Ok(Json::Number(number)),
            Err(_) => Ok(text.into()),
        },
    }
}

/// Whether a whole number has become another one.
fn is_rounded(text: &str, number: &Number) -> bool {
    number.is_f64() && text != "-0" && !text.contains(['.', 'e', 'E'])
}
