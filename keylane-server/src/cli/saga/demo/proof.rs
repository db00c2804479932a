//! The proof, out of the services' own books alone: what each saga left in each of them, and whether all that was there at the start is still there.

use std::collections::BTreeMap;
use std::path::Path;

use keylane_core::saga::State;
use rusqlite::{Connection, OpenFlags};

use super::travel::Service;

/// Violations that are told with their place.
const EXAMPLES_MAX: usize = 10;

/// A service's books.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// What was there at the start.
    pub begun: i64,
    /// What is left.
    pub left_over: i64,
    /// What was given away, by the service's own count.
    pub given: i64,
    /// What was given away, by its effects.
    pub effects: i64,
    /// How often each saga was booked, and cancelled.
    pub sagas: BTreeMap<String, (u64, u64)>,
}

/// What a service has to give.
///
/// # Errors
/// If its file cannot be read.
pub fn stock(service: Service, folder: &Path) -> rusqlite::Result<i64> {
    one(
        &opened(service, folder)?,
        "SELECT sum(left_over) FROM stock",
    )
}

/// A service's books, where it had so much at the start.
///
/// # Errors
/// If its file cannot be read.
pub fn books(service: Service, folder: &Path, begun: i64) -> rusqlite::Result<Books> {
    let file = opened(service, folder)?;
    let mut books = Books {
        begun,
        left_over: one(&file, "SELECT sum(left_over) FROM stock")?,
        given: one(&file, "SELECT amount FROM given")?,
        effects: one(&file, "SELECT coalesce(sum(amount), 0) FROM effects")?,
        sagas: BTreeMap::new(),
    };
    let mut statement = file.prepare("SELECT saga, what FROM effects")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (booked, cancelled) = books.sagas.entry(row.get(0)?).or_default();
        match row.get::<_, String>(1)?.as_str() {
            "book" => *booked += 1,
            _ => *cancelled += 1,
        }
    }
    Ok(books)
}

fn opened(service: Service, folder: &Path) -> rusqlite::Result<Connection> {
    Connection::open_with_flags(service.file(folder), OpenFlags::SQLITE_OPEN_READ_ONLY)
}

fn one(file: &Connection, sql: &str) -> rusqlite::Result<i64> {
    file.query_row(sql, [], |row| row.get(0))
}

/// What is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// How often.
    pub violations: u64,
    /// Some of it, in words.
    pub examples: Vec<String>,
}

impl Verdict {
    fn note(&mut self, words: String) {
        self.violations += 1;
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(words);
        }
    }
}

/// Holds what is said of each saga against the books.
pub fn judge(sagas: &BTreeMap<String, State>, all: &[(Service, Books)]) -> Verdict {
    let mut verdict = Verdict::default();
    for (service, books) in all {
        let name = service.name();
        if books.left_over + books.given != books.begun || books.given != books.effects {
            verdict.note(format!(
                "{name}: {} were there, {} are left, {} were given away, {} by the effects",
                books.begun, books.left_over, books.given, books.effects
            ));
        }
        for saga in books.sagas.keys().filter(|saga| !sagas.contains_key(*saga)) {
            verdict.note(format!("{name}: saga {saga} was never begun"));
        }
        for (saga, state) in sagas {
            let (booked, cancelled) = books.sagas.get(saga).copied().unwrap_or_default();
            let holds = match state {
                State::Completed => (booked, cancelled) == (1, 0),
                State::Compensated => booked == cancelled && booked <= 1,
                // It may still come to anything, but to nothing twice.
                State::Running | State::Compensating | State::Stuck => {
                    booked <= 1 && cancelled <= booked
                }
            };
            if !holds {
                verdict.note(format!(
                    "{name}: saga {saga} is {}, and was booked {booked} times and cancelled {cancelled} times",
                    state.code()
                ));
            }
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(state: State, effects: (u64, u64), sums: [i64; 4], violations: u64) {
        let [begun, left_over, given, effects_sum] = sums;
        let books = Books {
            begun,
            left_over,
            given,
            effects: effects_sum,
            sagas: [("one".to_owned(), effects)].into(),
        };
        let sagas = [("one".to_owned(), state)].into();
        let verdict = judge(&sagas, &[(Service::Flight, books)]);
        assert_eq!(verdict.violations, violations, "{verdict:?}");
    }

    #[test]
    fn whatever_does_not_add_up_is_found() {
        let (given, whole) = ([10, 9, 1, 1], [10, 10, 0, 0]);
        check(State::Completed, (1, 0), given, 0);
        check(State::Completed, (0, 0), whole, 1);
        check(State::Completed, (2, 0), [10, 8, 2, 2], 1);
        check(State::Completed, (1, 1), whole, 1);
        check(State::Compensated, (1, 1), whole, 0);
        check(State::Compensated, (0, 0), whole, 0);
        check(State::Compensated, (1, 0), given, 1);
        check(State::Compensated, (1, 2), [10, 11, -1, -1], 1);
        check(State::Compensated, (2, 2), whole, 1);
        check(State::Stuck, (1, 0), given, 0);
        check(State::Stuck, (2, 0), [10, 8, 2, 2], 1);
        // A seat that went nowhere, and one that was given away twice by one line.
        check(State::Completed, (1, 0), [10, 8, 1, 1], 1);
        check(State::Completed, (1, 0), [10, 8, 2, 1], 1);
    }

    #[test]
    fn effects_of_a_saga_that_nobody_began_are_found() {
        let books = Books {
            sagas: [("ghost".to_owned(), (1, 1))].into(),
            ..Books::default()
        };
        let verdict = judge(&BTreeMap::new(), &[(Service::Hotel, books)]);
        assert_eq!(verdict.violations, 1);
        assert!(verdict.examples[0].contains("ghost"), "{verdict:?}");
    }
}
