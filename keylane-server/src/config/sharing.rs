//! `topics.topic_of` and `topics.partitions_of`: which tables share a topic, and how many partitions one has.

use super::code::Code;
use super::lists;
use super::reader::{Block, Read};
use super::scalar;
use super::source::Span;
use super::tables::{self, TableName};
use super::tree::printable;

/// A guest, its host, and where the guest stands.
pub(super) type Shared = (TableName, TableName, Span);
/// A table, its partitions, and where it stands.
pub(super) type Counted = (TableName, u32, Span);

const PARTITIONS_MAX: u32 = 10_000;

pub(super) fn topic_of(block: &Block<'_>) -> Read<Vec<Shared>> {
    lists::all(block.named("topic_of", false)?.into_iter().map(|named| {
        let guest = table(block, "topic_of", &named.name, named.name_span)?;
        let host = table(block, "topic_of", &named.text.value, named.text.span)?;
        Ok((guest, host, named.name_span))
    }))
}

pub(super) fn partitions_of(block: &Block<'_>) -> Read<Vec<Counted>> {
    let all = block.named("partitions_of", false)?;
    lists::all(all.into_iter().map(|named| {
        let table = table(block, "partitions_of", &named.name, named.name_span)?;
        let count = scalar::count(&named.text.value).ok();
        let count = count.and_then(|count| u32::try_from(count).ok());
        match count.filter(|count| (1..=PARTITIONS_MAX).contains(count)) {
            Some(count) => Ok((table, count, named.name_span)),
            None => Err(block.report(
                Code::BadValue,
                named.text.span,
                format!(
                    "{}: {} is no number of partitions",
                    block.path_of("partitions_of"),
                    named.text.shown
                ),
                "write SCHEMA.TABLE: a whole number from 1 to 10000",
            )),
        }
    }))
}

fn table(block: &Block<'_>, key: &str, text: &str, span: Span) -> Read<TableName> {
    tables::exact(text).map_err(|fault| {
        let path = block.path_of(key);
        let message = format!("{path}: '{}' {fault}", printable(text));
        block.report(Code::BadName, span, message, "write SCHEMA.TABLE")
    })
}

/// A host is a guest nowhere, and a guest has no partitions of its own.
pub(super) fn fit(block: &Block<'_>, shared: &[Shared], counted: &[Counted]) -> Read<()> {
    let guest = |table: &TableName| shared.iter().any(|(guest, ..)| guest == table);
    for (table, host, span) in shared {
        if guest(host) {
            let path = block.path_of("topic_of");
            let message = format!(
                "{path}: {host} shares another's topic itself, so {table} cannot share its"
            );
            let remedy = "name the table after which the topic is called";
            return Err(block.report(Code::Conflict, *span, message, remedy));
        }
    }
    for (table, _, span) in counted {
        if guest(table) {
            let path = block.path_of("partitions_of");
            let message = format!("{path}: {table} shares another table's topic");
            let remedy = "say the partitions of the table whose topic it is";
            return Err(block.report(Code::Conflict, *span, message, remedy));
        }
    }
    Ok(())
}
