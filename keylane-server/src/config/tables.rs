//! Table names and patterns: `public.orders`, `billing.*`, `*`.

use std::fmt;

use super::code::Code;
use super::lists;
use super::reader::{Block, Read, Text};

/// An exact table: `schema.table`, or only `table` where the database has no schemas (SQLite).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    /// The schema, if one is written.
    pub schema: Option<String>,
    /// The table.
    pub table: String,
}

/// Which tables belong to a pipeline: like a [`TableName`], with `*` standing for any characters of one part.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TablePattern {
    /// None where only one part is written: any schema.
    schema: Option<String>,
    table: String,
}

impl TablePattern {
    /// A pattern that a person wrote: `SCHEMA.TABLE` or `TABLE`, `*` for any characters of a part.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<TablePattern, &'static str> {
        let (schema, table) = parts(text)?;
        Ok(TablePattern { schema, table })
    }

    /// A pattern of names whose dots are part of them, such as topics'.
    ///
    /// # Errors
    /// If it is empty.
    pub fn of_one_part(text: &str) -> Result<TablePattern, &'static str> {
        match text.is_empty() {
            true => Err("is empty"),
            false => Ok(TablePattern {
                schema: None,
                table: text.to_owned(),
            }),
        }
    }

    /// Whether the pattern means this table. A pattern of one part means it in any schema.
    pub fn matches(&self, schema: Option<&str>, table: &str) -> bool {
        let schema_fits = match (&self.schema, schema) {
            (None, _) => true,
            (Some(pattern), Some(schema)) => glob(pattern, schema),
            (Some(pattern), None) => pattern == "*",
        };
        schema_fits && glob(&self.table, table)
    }

    /// Whether the pattern means this table.
    pub fn matches_name(&self, name: &TableName) -> bool {
        self.matches(name.schema.as_deref(), &name.table)
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_parts(f, self.schema.as_deref(), &self.table)
    }
}

impl fmt::Display for TablePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_parts(f, self.schema.as_deref(), &self.table)
    }
}

fn write_parts(f: &mut fmt::Formatter<'_>, schema: Option<&str>, table: &str) -> fmt::Result {
    match schema {
        Some(schema) => write!(f, "{schema}.{table}"),
        None => f.write_str(table),
    }
}

/// Linear: on a mismatch it goes back to the last `*` only.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// The patterns under `name`, with their places.
pub(super) fn patterns(block: &Block<'_>, name: &str) -> Read<Vec<(TablePattern, Text)>> {
    let texts = block.texts(name)?;
    lists::all(texts.into_iter().map(|text| {
        let (schema, table) =
            parts(&text.value).map_err(|fault| block.bad(Code::BadName, name, &text, fault))?;
        Ok((TablePattern { schema, table }, text))
    }))
}

/// An exact name, or what is wrong with it.
pub(super) fn exact(text: &str) -> Result<TableName, &'static str> {
    let (schema, table) = parts(text)?;
    if text.contains('*') {
        return Err("is a pattern where one table is meant");
    }
    Ok(TableName { schema, table })
}

/// What is wrong with a pattern, if anything.
pub(super) fn check_pattern(text: &str) -> Result<(), &'static str> {
    parts(text).map(|_| ())
}

fn parts(text: &str) -> Result<(Option<String>, String), &'static str> {
    const PART_BYTES_MAX: usize = 255;
    let (schema, table) = match text.split_once('.') {
        Some((schema, table)) => (Some(schema), table),
        None => (None, text),
    };
    if table.contains('.') {
        return Err("has more than two parts; write SCHEMA.TABLE");
    }
    for part in schema.into_iter().chain([table]) {
        if part.is_empty() || part.len() > PART_BYTES_MAX {
            return Err("has an empty part; write SCHEMA.TABLE");
        }
        if part
            .chars()
            .any(|c| c.is_control() || matches!(c, '"' | '`' | '\''))
        {
            return Err("holds a quote or a control character; write names as they are, unquoted");
        }
    }
    Ok((schema.map(str::to_owned), table.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> TablePattern {
        let (schema, table) = parts(text).expect("a legal pattern");
        TablePattern { schema, table }
    }

    #[test]
    fn a_star_stands_for_any_characters_of_one_part() {
        let cases = [
            ("billing.*", Some("billing"), "invoice", true),
            ("billing.*", Some("billing2"), "invoice", false),
            ("*.audit_*", Some("public"), "audit_2026", true),
            ("*.a*b*c", Some("x"), "a__b_bc", true),
            ("*.a*b*c", Some("x"), "acb", false),
            ("*.ab*ba", Some("x"), "aba", false),
            ("orders", Some("public"), "orders", true),
            ("orders", None, "orders", true),
            ("*", None, "anything", true),
            ("main.orders", None, "orders", false),
        ];
        for (text, schema, table, expect) in cases {
            assert_eq!(
                pattern(text).matches(schema, table),
                expect,
                "{text} on {schema:?}.{table}"
            );
        }
    }
}
