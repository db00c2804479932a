//! Which sagas are meant, as commands and HTTP say it.

use std::time::Duration;

use keylane_core::saga::{Filter, State};

/// Sagas of a list, at most.
pub const LIST_MAX: usize = 1_000;

/// States by their names, with commas between; `all` is all, `ended` and `open` are what they say.
///
/// # Errors
/// In words, if one is no state.
pub fn states(text: &str) -> Result<Vec<State>, String> {
    let mut states = Vec::new();
    for name in text.split(',').map(str::trim).filter(|it| !it.is_empty()) {
        match (name, State::named(name)) {
            (_, Some(state)) => states.push(state),
            ("all", None) => states.extend(State::ALL),
            ("open", None) => states.extend(Filter::default().states()),
            ("ended", None) => states.extend([State::Completed, State::Compensated]),
            (_, None) => {
                let known: Vec<&str> = State::ALL.iter().map(|it| it.code()).collect();
                return Err(format!(
                    "{name} is no state: {}, open, ended or all",
                    known.join(", ")
                ));
            }
        }
    }
    Ok(states)
}

/// The time before which a saga was started that is older than this.
pub fn before_us(older: Duration) -> i64 {
    let older_us = i64::try_from(older.as_micros()).unwrap_or(i64::MAX);
    keylane::workers::stats::now_us().saturating_sub(older_us)
}
