//! From a text to a condition, by recursive descent with a bounded depth.

use std::iter::Peekable;
use std::str::Chars;

use serde_json::Value;

use super::{Comparison, Condition, Operand};
use crate::saga::template::Path;

/// Why a text is no condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}, at character {at}")]
pub struct ConditionError {
    /// The character that was looked at, from 1.
    pub at: usize,
    /// What is wrong.
    pub what: String,
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Operand(Operand),
    Compare(Comparison),
    Exists,
    Not,
    And,
    Or,
    Open,
    Close,
}

/// Reads a condition.
pub(super) fn parse(text: &str) -> Result<Condition, ConditionError> {
    if text.len() > Condition::BYTES_MAX {
        return Err(ConditionError {
            at: Condition::BYTES_MAX,
            what: format!("longer than {} bytes", Condition::BYTES_MAX),
        });
    }
    let mut parser = Parser {
        tokens: tokens(text)?.into_iter().peekable(),
        end: text.chars().count() + 1,
        depth: 0,
    };
    let condition = parser.or()?;
    match parser.tokens.next() {
        None => Ok(condition),
        Some((at, _)) => Err(wrong(at, "and, or or the end is expected")),
    }
}

fn wrong(at: usize, what: impl Into<String>) -> ConditionError {
    let what = what.into();
    ConditionError { at, what }
}

fn tokens(text: &str) -> Result<Vec<(usize, Token)>, ConditionError> {
    let mut letters = text.chars().peekable();
    let total = text.chars().count();
    let mut tokens = Vec::new();
    loop {
        while letters.next_if(|letter| letter.is_whitespace()).is_some() {}
        let at = total - letters.clone().count() + 1;
        let Some(letter) = letters.peek().copied() else {
            return Ok(tokens);
        };
        let token = match letter {
            '$' => {
                let path = Path::read(&mut letters).map_err(|why| wrong(at, why.to_string()))?;
                Token::Operand(Operand::Path(path))
            }
            '"' | '\'' => {
                quoted(&mut letters, letter).ok_or_else(|| wrong(at, "the text is not closed"))?
            }
            '(' | ')' | '=' | '!' | '<' | '>' => {
                sign(&mut letters).ok_or_else(|| wrong(at, "compare by ==, !=, <, <=, > or >="))?
            }
            _ => {
                let mut word = String::new();
                let goes_on =
                    |it: &char| it.is_alphanumeric() || matches!(it, '_' | '-' | '+' | '.');
                while let Some(letter) = letters.next_if(goes_on) {
                    word.push(letter);
                }
                named(&word).ok_or_else(|| {
                    wrong(
                        at,
                        format!(
                            "{:?} means nothing here",
                            if word.is_empty() {
                                letter.to_string()
                            } else {
                                word
                            }
                        ),
                    )
                })?
            }
        };
        tokens.push((at, token));
    }
}

/// A text up to its closing quote; a backslash takes the next character as it is, and `\n` and `\t` as in JSON.
fn quoted(letters: &mut Peekable<Chars<'_>>, quote: char) -> Option<Token> {
    letters.next();
    let mut text = String::new();
    loop {
        match letters.next()? {
            letter if letter == quote => {
                return Some(Token::Operand(Operand::Literal(text.into())));
            }
            '\\' => text.push(match letters.next()? {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                'u' => unicode(letters)?,
                other => other,
            }),
            letter => text.push(letter),
        }
    }
}

fn unicode(letters: &mut Peekable<Chars<'_>>) -> Option<char> {
    let digits: String = letters.by_ref().take(4).collect();
    char::from_u32(u32::from_str_radix(&digits, 16).ok()?)
}

fn sign(letters: &mut Peekable<Chars<'_>>) -> Option<Token> {
    let first = letters.next()?;
    if matches!(first, '(' | ')') {
        return Some(if first == '(' {
            Token::Open
        } else {
            Token::Close
        });
    }
    let with_equal = letters.next_if_eq(&'=').is_some();
    let comparison = match (first, with_equal) {
        ('=', true) => Comparison::Equal,
        ('!', true) => Comparison::Different,
        ('<', true) => Comparison::LessOrEqual,
        ('<', false) => Comparison::Less,
        ('>', true) => Comparison::GreaterOrEqual,
        ('>', false) => Comparison::Greater,
        _ => return None,
    };
    Some(Token::Compare(comparison))
}

fn named(word: &str) -> Option<Token> {
    Some(match word {
        "and" => Token::And,
        "or" => Token::Or,
        "not" => Token::Not,
        "exists" => Token::Exists,
        _ => {
            // What is left of JSON: numbers, true, false, null.
            let value: Value = serde_json::from_str(word).ok()?;
            Token::Operand(Operand::Literal(value))
        }
    })
}

struct Parser {
    tokens: Peekable<std::vec::IntoIter<(usize, Token)>>,
    end: usize,
    depth: usize,
}

impl Parser {
    fn or(&mut self) -> Result<Condition, ConditionError> {
        let mut left = self.and()?;
        while self.next_if(&Token::Or) {
            left = Condition::Or(Box::new(left), Box::new(self.and()?));
            self.bounded(left_depth(&left))?;
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Condition, ConditionError> {
        let mut left = self.not()?;
        while self.next_if(&Token::And) {
            left = Condition::And(Box::new(left), Box::new(self.not()?));
            self.bounded(left_depth(&left))?;
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Condition, ConditionError> {
        self.depth += 1;
        self.bounded(self.depth)?;
        let condition = if self.next_if(&Token::Not) {
            Condition::Not(Box::new(self.not()?))
        } else if self.next_if(&Token::Open) {
            let inner = self.or()?;
            if !self.next_if(&Token::Close) {
                return Err(wrong(self.at(), "a ) is missing"));
            }
            inner
        } else {
            self.comparison()?
        };
        self.depth -= 1;
        Ok(condition)
    }

    fn comparison(&mut self) -> Result<Condition, ConditionError> {
        if self.next_if(&Token::Exists) {
            let at = self.at();
            return match self.operand()? {
                Operand::Path(path) => Ok(Condition::Exists(path)),
                Operand::Literal(_) => Err(wrong(at, "exists asks for a path")),
            };
        }
        let left = self.operand()?;
        let is_comparison = |(_, token): &(usize, Token)| matches!(token, Token::Compare(_));
        match self.tokens.next_if(is_comparison) {
            Some((_, Token::Compare(how))) => Ok(Condition::Compare(left, how, self.operand()?)),
            _ => Ok(Condition::Holds(left)),
        }
    }

    fn operand(&mut self) -> Result<Operand, ConditionError> {
        match self.tokens.next() {
            Some((_, Token::Operand(operand))) => Ok(operand),
            Some((at, _)) => Err(wrong(at, "a path or a value is expected")),
            None => Err(wrong(self.end, "a path or a value is expected")),
        }
    }

    fn next_if(&mut self, wanted: &Token) -> bool {
        self.tokens.next_if(|(_, token)| token == wanted).is_some()
    }

    fn at(&mut self) -> usize {
        self.tokens.peek().map_or(self.end, |(at, _)| *at)
    }

    fn bounded(&mut self, depth: usize) -> Result<(), ConditionError> {
        if depth <= Condition::DEPTH_MAX {
            return Ok(());
        }
        let what = format!(
            "more than {} conditions in each other",
            Condition::DEPTH_MAX
        );
        Err(wrong(self.at(), what))
    }
}

/// How deep a chain of `and` or `or` has grown to the left.
fn left_depth(condition: &Condition) -> usize {
    let mut depth = 0;
    let mut at = condition;
    while let Condition::And(left, _) | Condition::Or(left, _) = at {
        depth += 1;
        at = left;
    }
    depth
}
