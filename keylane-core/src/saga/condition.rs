//! When a step is passed over: a small language that always ends and never fails.
//!
//! `$.notify and not ($reserve.price >= 100 or $.tier == "gold")`. Values are paths (see [`Template`](super::Template)), numbers, texts in double or single quotes,
//! `true`, `false` and `null`; `exists $.a` holds where a path leads to something that is not null. What a path does not find is null. Null and false do not hold,
//! any other value does. Numbers are compared as numbers and texts by their characters; `<`, `<=`, `>` and `>=` between anything else do not hold.
//! `not` binds closer than `and`, `and` closer than `or`.

use std::cmp::Ordering;
use std::fmt;

use serde_json::{Number, Value};

use super::template::{Path, Scope};

mod parse;
pub use parse::ConditionError;

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// A value holds by itself.
    Holds(Operand),
    /// A path leads to something.
    Exists(Path),
    /// Two values compared.
    Compare(Operand, Comparison, Operand),
    /// It does not.
    Not(Box<Condition>),
    /// Both do.
    And(Box<Condition>, Box<Condition>),
    /// One does, or both do.
    Or(Box<Condition>, Box<Condition>),
}

/// A value in a condition.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// What stands there.
    Path(Path),
    /// A value as it is: no list, no object.
    Literal(Value),
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `==`
    Equal,
    /// `!=`
    Different,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Condition {
    /// The longest text that is read.
    pub const BYTES_MAX: usize = 2_000;
    /// How deep conditions may lie in each other.
    pub const DEPTH_MAX: usize = 32;

    /// Reads a condition.
    ///
    /// # Errors
    /// [`ConditionError`], with the place in the text.
    pub fn parse(text: &str) -> Result<Condition, ConditionError> {
        parse::parse(text)
    }

    /// Whether it holds. It ends within as many steps as the condition has parts.
    pub fn holds(&self, scope: &dyn Scope) -> bool {
        match self {
            Condition::Holds(operand) => {
                !matches!(operand.value(scope), Value::Null | Value::Bool(false))
            }
            Condition::Exists(path) => path.find(scope).is_some_and(|value| !value.is_null()),
            Condition::Compare(left, how, right) => {
                compare(left.value(scope), *how, right.value(scope))
            }
            Condition::Not(inner) => !inner.holds(scope),
            Condition::And(left, right) => left.holds(scope) && right.holds(scope),
            Condition::Or(left, right) => left.holds(scope) || right.holds(scope),
        }
    }

    /// Every path in it.
    pub fn paths(&self) -> Vec<&Path> {
        match self {
            Condition::Holds(operand) => operand.path().into_iter().collect(),
            Condition::Exists(path) => vec![path],
            Condition::Compare(left, _, right) => {
                left.path().into_iter().chain(right.path()).collect()
            }
            Condition::Not(inner) => inner.paths(),
            Condition::And(left, right) | Condition::Or(left, right) => {
                let mut paths = left.paths();
                paths.extend(right.paths());
                paths
            }
        }
    }
}

impl Operand {
    fn value<'a>(&'a self, scope: &'a dyn Scope) -> &'a Value {
        match self {
            Operand::Path(path) => path.find(scope).unwrap_or(&Value::Null),
            Operand::Literal(value) => value,
        }
    }

    fn path(&self) -> Option<&Path> {
        match self {
            Operand::Path(path) => Some(path),
            Operand::Literal(_) => None,
        }
    }
}

fn compare(left: &Value, how: Comparison, right: &Value) -> bool {
    let order = match (left, right) {
        (Value::Number(left), Value::Number(right)) => numbers(left, right),
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        _ => None,
    };
    let equal = order.map_or_else(|| left == right, Ordering::is_eq);
    match how {
        Comparison::Equal => equal,
        Comparison::Different => !equal,
        Comparison::Less => order.is_some_and(Ordering::is_lt),
        Comparison::LessOrEqual => order.is_some_and(Ordering::is_le),
        Comparison::Greater => order.is_some_and(Ordering::is_gt),
        Comparison::GreaterOrEqual => order.is_some_and(Ordering::is_ge),
    }
}

fn numbers(left: &Number, right: &Number) -> Option<Ordering> {
    match (left.as_i128(), right.as_i128()) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}

impl Comparison {
    fn sign(self) -> &'static str {
        match self {
            Comparison::Equal => "==",
            Comparison::Different => "!=",
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
            Comparison::Greater => ">",
            Comparison::GreaterOrEqual => ">=",
        }
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operand::Path(path) => path.fmt(f),
            Operand::Literal(value) => value.fmt(f),
        }
    }
}

impl Condition {
    /// How close it binds: what binds less is put into parentheses.
    fn binding(&self) -> u8 {
        match self {
            Condition::Or(..) => 0,
            Condition::And(..) => 1,
            Condition::Not(_) => 2,
            Condition::Holds(_) | Condition::Exists(_) | Condition::Compare(..) => 3,
        }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, binding: u8) -> fmt::Result {
        if self.binding() < binding {
            return write!(f, "({self})");
        }
        write!(f, "{self}")
    }
}

impl fmt::Display for Condition {
    /// The shortest form that [`Condition::parse`] reads as this condition.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Condition::Holds(operand) => operand.fmt(f),
            Condition::Exists(path) => write!(f, "exists {path}"),
            Condition::Compare(left, how, right) => write!(f, "{left} {} {right}", how.sign()),
            Condition::Not(inner) => {
                f.write_str("not ")?;
                inner.write(f, 2)
            }
            Condition::And(left, right) => {
                left.write(f, 1)?;
                f.write_str(" and ")?;
                right.write(f, 2)
            }
            Condition::Or(left, right) => {
                left.write(f, 0)?;
                f.write_str(" or ")?;
                right.write(f, 1)
            }
        }
    }
}

#[cfg(test)]
mod tests;
