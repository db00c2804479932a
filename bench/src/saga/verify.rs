//! What became of the effects: each once where all were to be, none left where none was.

use super::cell::Cell;
use crate::report::Result;
use std::collections::HashMap;

/// How often each step of each saga was done and undone.
pub(crate) type Effects = HashMap<(String, String), (u64, u64)>;

/// `SAGA|STEP|DONE|UNDONE`.
pub(crate) fn effect_of(line: &str) -> Result<((String, String), (u64, u64))> {
    let mut words = line.split('|');
    let mut next = || words.next().ok_or_else(|| format!("{line} is no effect"));
    let step = (next()?.to_owned(), next()?.to_owned());
    Ok((step, (next()?.parse()?, next()?.parse()?)))
}

/// Holds the effects against where their sagas ended, as `ID|STATE`; fails with the first that is not as it should be.
pub(crate) fn verify(cell: Cell, effects: &Effects, ended: &str) -> Result<()> {
    let mut of_saga: HashMap<&str, Vec<(u64, u64)>> = HashMap::new();
    for ((saga, _), counts) in effects {
        of_saga.entry(saga).or_default().push(*counts);
    }
    let mut refused = 0;
    for line in ended.lines() {
        let (id, state) = line.split_once('|').ok_or("a saga without a state")?;
        let counts = of_saga.remove(id).unwrap_or_default();
        let is_right = match state {
            "completed" => {
                counts.len() as u64 == cell.step_count() && counts.iter().all(|it| *it == (1, 0))
            }
            "compensated" => {
                refused += 1;
                counts.iter().all(|it| it.0 == it.1 && it.0 <= 1)
            }
            _ => false,
        };
        if !is_right {
            return Err(format!("saga {id} is {state} with effects {counts:?}").into());
        }
    }
    if let Some((id, counts)) = of_saga.iter().next() {
        return Err(format!("saga {id} has not ended and has effects {counts:?}").into());
    }
    match refused == 0 && cell.refuses() > 0 {
        true => Err("no saga was refused".into()),
        false => Ok(()),
    }
}
