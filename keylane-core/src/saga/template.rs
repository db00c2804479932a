//! What a step's commands carry: JSON in which paths stand for the saga's data and for what earlier steps answered.
//!
//! `$` begins a path: `$.customer.id` is a member of the saga's data, `$reserve.seats[0]` of what step `reserve` answered. Any other value stands for itself; a text
//! that begins with `$` is written with `$$`. What a path does not find is null.

use std::fmt;
use std::iter::Peekable;
use std::str::Chars;

use serde_json::{Map, Value};

/// Where values come from: the saga's data, and replies by step.
pub trait Scope {
    /// The saga's data.
    fn data(&self) -> &Value;
    /// What a step answered, if it did.
    fn reply(&self, step: &str) -> Option<&Value>;
}

/// One member of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Name(String),
    Index(usize),
}

/// A place in the saga's data or in a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    step: Option<String>,
    parts: Vec<Part>,
}

/// Why a text is no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It does not begin with `$`.
    #[error("a path begins with $")]
    NoRoot,
    /// A `.` without a name.
    #[error("a name of letters, digits, _ and - is missing after .")]
    NoName,
    /// A `[` without a number and `]`.
    #[error("a place in a list is written as [0]")]
    NoIndex,
    /// Something follows that is none of these.
    #[error("only .name and [0] go on a path")]
    Trailing,
}

impl Path {
    /// Reads a path.
    ///
    /// # Errors
    /// [`PathError`], if it is none.
    pub fn parse(text: &str) -> Result<Path, PathError> {
        let mut letters = text.chars().peekable();
        let path = Path::read(&mut letters)?;
        match letters.next() {
            None => Ok(path),
            Some(_) => Err(PathError::Trailing),
        }
    }

    /// Reads a path from the front of a text, as far as it goes.
    pub(super) fn read(letters: &mut Peekable<Chars<'_>>) -> Result<Path, PathError> {
        letters.next_if_eq(&'$').ok_or(PathError::NoRoot)?;
        let step = name(letters);
        let mut parts = Vec::new();
        loop {
            if letters.next_if_eq(&'.').is_some() {
                parts.push(Part::Name(name(letters).ok_or(PathError::NoName)?));
            } else if letters.next_if_eq(&'[').is_some() {
                let mut digits = String::new();
                while let Some(digit) = letters.next_if(char::is_ascii_digit) {
                    digits.push(digit);
                }
                let index = digits.parse().map_err(|_| PathError::NoIndex)?;
                letters.next_if_eq(&']').ok_or(PathError::NoIndex)?;
                parts.push(Part::Index(index));
            } else {
                return Ok(Path { step, parts });
            }
        }
    }

    /// The step whose reply it leads into; `None`: the saga's data.
    pub fn step(&self) -> Option<&str> {
        self.step.as_deref()
    }

    /// What it leads to.
    pub fn find<'a>(&self, scope: &'a dyn Scope) -> Option<&'a Value> {
        let root = match &self.step {
            None => scope.data(),
            Some(step) => scope.reply(step)?,
        };
        self.parts.iter().try_fold(root, |value, part| match part {
            Part::Name(name) => value.get(name),
            Part::Index(index) => value.get(index),
        })
    }
}

fn name(letters: &mut Peekable<Chars<'_>>) -> Option<String> {
    let mut name = String::new();
    while let Some(letter) = letters.next_if(|it| it.is_alphanumeric() || matches!(it, '_' | '-')) {
        name.push(letter);
    }
    (!name.is_empty()).then_some(name)
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${}", self.step.as_deref().unwrap_or_default())?;
        self.parts.iter().try_for_each(|part| match part {
            Part::Name(name) => write!(f, ".{name}"),
            Part::Index(index) => write!(f, "[{index}]"),
        })
    }
}

/// JSON with paths in it.
#[derive(Clone, Debug, PartialEq)]
pub enum Template {
    /// A value as it is.
    Literal(Value),
    /// What stands there.
    Path(Path),
    /// A list.
    List(Vec<Template>),
    /// Members by name.
    Object(Vec<(String, Template)>),
}

impl Template {
    /// The saga's data as a whole.
    pub fn data() -> Template {
        Template::Path(Path {
            step: None,
            parts: Vec::new(),
        })
    }

    /// Reads a template. A value without a path in it is a literal.
    ///
    /// # Errors
    /// The text that begins with `$` and is no path, and why.
    pub fn parse(value: &Value) -> Result<Template, (String, PathError)> {
        let template = match value {
            Value::String(text) if text.starts_with("$$") => {
                Template::Literal(text.get(1..).unwrap_or_default().into())
            }
            Value::String(text) if text.starts_with('$') => {
                Template::Path(Path::parse(text).map_err(|why| (text.clone(), why))?)
            }
            Value::Array(items) => {
                let items: Result<_, _> = items.iter().map(Template::parse).collect();
                Template::List(items?)
            }
            Value::Object(members) => {
                let read = |(name, value): (&String, &Value)| {
                    Template::parse(value).map(|it| (name.clone(), it))
                };
                let members: Result<_, _> = members.iter().map(read).collect();
                Template::Object(members?)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                Template::Literal(value.clone())
            }
        };
        Ok(template)
    }

    /// The value, with null for what is not there.
    pub fn resolve(&self, scope: &dyn Scope) -> Value {
        match self {
            Template::Literal(value) => value.clone(),
            Template::Path(path) => path.find(scope).cloned().unwrap_or(Value::Null),
            Template::List(items) => items.iter().map(|item| item.resolve(scope)).collect(),
            Template::Object(members) => {
                let resolved = members
                    .iter()
                    .map(|(name, it)| (name.clone(), it.resolve(scope)));
                Value::Object(resolved.collect::<Map<_, _>>())
            }
        }
    }

    /// The form that [`Template::parse`] reads.
    pub fn to_json(&self) -> Value {
        match self {
            Template::Literal(Value::String(text)) if text.starts_with('$') => {
                format!("${text}").into()
            }
            Template::Literal(value) => value.clone(),
            Template::Path(path) => path.to_string().into(),
            Template::List(items) => items.iter().map(Template::to_json).collect(),
            Template::Object(members) => {
                let members = members
                    .iter()
                    .map(|(name, it)| (name.clone(), it.to_json()));
                Value::Object(members.collect())
            }
        }
    }

    /// Every path in it.
    pub fn paths(&self) -> Vec<&Path> {
        match self {
            Template::Literal(_) => Vec::new(),
            Template::Path(path) => vec![path],
            Template::List(items) => items.iter().flat_map(Template::paths).collect(),
            Template::Object(members) => members.iter().flat_map(|(_, it)| it.paths()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    struct Fixture(Value, Value);

    impl Scope for Fixture {
        fn data(&self) -> &Value {
            &self.0
        }
        fn reply(&self, step: &str) -> Option<&Value> {
            (step == "reserve").then_some(&self.1)
        }
    }

    fn check(template: Value, expect: Value) {
        let scope = Fixture(
            json!({"sku": "a", "lines": [{"n": 1}, {"n": 2}]}),
            json!({"seat": "7C"}),
        );
        let template_read = Template::parse(&template).unwrap();
        assert_eq!(template_read.resolve(&scope), expect, "{template}");
        assert_eq!(template_read.to_json(), template);
    }

    #[test]
    fn paths_lead_into_the_data_and_into_replies() {
        check(json!("$.lines[1].n"), json!(2));
        check(json!("$reserve.seat"), json!("7C"));
        check(
            json!({"sku": "$.sku", "deep": [{"seat": "$reserve.seat"}, 3, null]}),
            json!({"sku": "a", "deep": [{"seat": "7C"}, 3, null]}),
        );
        check(
            json!("$"),
            json!({"sku": "a", "lines": [{"n": 1}, {"n": 2}]}),
        );
    }

    #[test]
    fn what_is_not_there_is_null() {
        check(json!("$.no.such[4]"), Value::Null);
        check(json!("$never.ran"), Value::Null);
    }

    #[test]
    fn two_dollars_are_one_that_leads_nowhere() {
        check(json!("$$.sku"), json!("$.sku"));
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for (text, why) in [
            ("$.", PathError::NoName),
            ("$.a[", PathError::NoIndex),
            ("$.a[99999999999999999999]", PathError::NoIndex),
            ("$.a b", PathError::Trailing),
        ] {
            let refused = Template::parse(&json!([text]));
            assert_eq!(refused, Err((text.to_owned(), why)));
        }
    }
}
