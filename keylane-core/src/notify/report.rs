//! What a comparison of one table found, as the notifier takes it.

use std::sync::Arc;

use super::state::State;

/// Sample keys that are told at most.
pub const KEYS_MAX: usize = 5;
/// Columns that are told at most.
pub const COLUMNS_MAX: usize = 10;
/// Characters of one text of a report (a name, a key, a value, a sentence) at most.
pub const TEXT_CHARS_MAX: usize = 300;

/// How a comparison ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Both sides hold the same rows (after the repair, if there was one).
    Equal,
    /// Rows differ, proved.
    Diverged,
    /// Rows that change too fast to be proved either way.
    Hot,
    /// Rows that could not be proved either way for another reason.
    Unproved,
    /// What was to settle the comparison did not come through the road.
    Stalled,
    /// A side could not be read, or the comparison ended with an error.
    Failed,
}

impl Verdict {
    /// All verdicts.
    pub const ALL: [Verdict; 6] = [
        Verdict::Equal,
        Verdict::Diverged,
        Verdict::Hot,
        Verdict::Unproved,
        Verdict::Stalled,
        Verdict::Failed,
    ];

    /// The word that scripts see.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Equal => "equal",
            Verdict::Diverged => "diverged",
            Verdict::Hot => "hot",
            Verdict::Unproved => "unproved",
            Verdict::Stalled => "stalled",
            Verdict::Failed => "failed",
        }
    }

    /// The verdict of this word. `None` if this version knows none.
    pub fn read(word: &str) -> Option<Verdict> {
        Verdict::ALL
            .into_iter()
            .find(|verdict| verdict.word() == word)
    }
}

/// A value on both sides. Told only where values are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValuePair {
    /// The column.
    pub column: String,
    /// At the origin.
    pub origin: String,
    /// At the replica.
    pub replica: String,
}

/// A row that differs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SampleKey {
    /// Its key, as text.
    pub key: String,
    /// Values that differ; may be empty. They leave the notifier only with [`Terms::values`](super::Terms::values).
    pub values: Vec<ValuePair>,
}

/// One table of one run. Counts are rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableReport {
    /// The pipeline; `None`: two databases outside any pipeline.
    pub pipeline: Option<Arc<str>>,
    /// The table, as `SCHEMA.TABLE`.
    pub table: Arc<str>,
    /// The run's name. The same table and run again changes nothing.
    pub run: String,
    /// How it ended.
    pub verdict: Verdict,
    /// Rows of the origin.
    pub rows_origin: u64,
    /// Rows of the replica.
    pub rows_replica: u64,
    /// Rows that the replica lacked.
    pub missing: u64,
    /// Rows that only the replica had.
    pub extra: u64,
    /// Rows that are on both sides and differed.
    pub different: u64,
    /// Rows that changed too fast to be proved.
    pub hot: u64,
    /// Rows that were repaired and verified.
    pub repaired: u64,
    /// Rows whose repair failed.
    pub repair_failed: u64,
    /// Columns that the replica cannot hold exactly.
    pub lossy: Vec<String>,
    /// Columns that differed most, with in how many rows, most first.
    pub columns: Vec<(String, u64)>,
    /// Some of the rows that differed.
    pub keys: Vec<SampleKey>,
    /// How long the table took, milliseconds.
    pub took_ms: u64,
    /// Where both sides were compared, in words (LSN, topic offsets); may be empty.
    pub position: String,
    /// What happened next, or the command to run; may be empty.
    pub next: String,
}

impl TableReport {
    /// A report of this table and run without any figures.
    pub fn new(
        pipeline: Option<&str>,
        table: &str,
        run: impl Into<String>,
        verdict: Verdict,
    ) -> Self {
        TableReport {
            pipeline: pipeline.map(Arc::from),
            table: table.into(),
            run: run.into(),
            verdict,
            rows_origin: 0,
            rows_replica: 0,
            missing: 0,
            extra: 0,
            different: 0,
            hot: 0,
            repaired: 0,
            repair_failed: 0,
            lossy: Vec::new(),
            columns: Vec::new(),
            keys: Vec::new(),
            took_ms: 0,
            position: String::new(),
            next: String::new(),
        }
    }

    /// Rows that were found to differ.
    pub fn found(&self) -> u64 {
        self.missing
            .saturating_add(self.extra)
            .saturating_add(self.different)
    }

    /// The state that follows from it; `None` where it proves none (hot, unproved). A run that found differences and repaired all of them says `repaired`,
    /// whether its verdict is on the rows as they were or as they are.
    pub fn state(&self) -> Option<State> {
        match self.verdict {
            Verdict::Stalled => Some(State::Stalled),
            Verdict::Failed => Some(State::Failed),
            _ if self.repair_failed > 0 => Some(State::RepairFailed),
            Verdict::Equal | Verdict::Diverged
                if self.repaired > 0 && self.repaired >= self.found() =>
            {
                Some(State::Repaired)
            }
            Verdict::Equal => Some(State::Ok),
            Verdict::Diverged => Some(State::Diverged),
            Verdict::Hot | Verdict::Unproved => None,
        }
    }

    /// Whether fewer rows differ than are worth a message: below either bound, and neither a repair nor the comparison failed.
    pub fn is_below(&self, min_rows: u64, min_ratio: f64) -> bool {
        let counts = matches!(self.state(), Some(State::Diverged | State::Repaired));
        let found = self.found().max(self.repaired);
        let rows = self.rows_origin.max(self.rows_replica).max(1);
        counts && (found < min_rows || (found as f64) < min_ratio * rows as f64)
    }

    /// Within the bounds of this module; without values unless they are asked for.
    #[must_use]
    pub fn bounded(mut self, values: bool) -> Self {
        self.columns.truncate(COLUMNS_MAX);
        self.lossy.truncate(COLUMNS_MAX);
        self.keys.truncate(KEYS_MAX);
        for (name, _) in &mut self.columns {
            cut(name);
        }
        self.lossy.iter_mut().for_each(cut);
        for sample in &mut self.keys {
            cut(&mut sample.key);
            sample.values.truncate(if values { COLUMNS_MAX } else { 0 });
            for pair in &mut sample.values {
                for text in [&mut pair.column, &mut pair.origin, &mut pair.replica] {
                    cut(text);
                }
            }
        }
        for text in [&mut self.run, &mut self.position, &mut self.next] {
            cut(text);
        }
        self
    }
}

/// Cuts a text to the bound, between characters; what was cut is marked.
pub(super) fn cut(text: &mut String) {
    if let Some((place, _)) = text.char_indices().nth(TEXT_CHARS_MAX) {
        text.truncate(place);
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(verdict: Verdict, different: u64, repaired: u64, failed: u64) -> TableReport {
        TableReport {
            different,
            repaired,
            repair_failed: failed,
            rows_origin: 1000,
            ..TableReport::new(Some("shop"), "public.orders", "1", verdict)
        }
    }

    #[test]
    fn a_state_follows_from_what_was_found_and_mended() {
        let check = |verdict, different, repaired, failed, expect: Option<State>| {
            let state = report(verdict, different, repaired, failed).state();
            assert_eq!(state, expect, "{verdict:?} {different} {repaired} {failed}");
        };
        check(Verdict::Equal, 0, 0, 0, Some(State::Ok));
        check(Verdict::Diverged, 9, 0, 0, Some(State::Diverged));
        check(Verdict::Diverged, 9, 9, 0, Some(State::Repaired));
        check(Verdict::Equal, 9, 9, 0, Some(State::Repaired));
        check(Verdict::Equal, 0, 9, 0, Some(State::Repaired));
        check(Verdict::Diverged, 9, 4, 0, Some(State::Diverged));
        check(Verdict::Diverged, 9, 8, 1, Some(State::RepairFailed));
        check(Verdict::Hot, 0, 0, 0, None);
        check(Verdict::Unproved, 0, 0, 0, None);
        check(Verdict::Hot, 0, 0, 2, Some(State::RepairFailed));
        check(Verdict::Stalled, 0, 0, 0, Some(State::Stalled));
        check(Verdict::Failed, 9, 9, 0, Some(State::Failed));
    }

    #[test]
    fn few_rows_are_below_by_number_or_by_share_but_never_a_failure() {
        let few = report(Verdict::Diverged, 4, 0, 0);
        assert!(!few.is_below(1, 0.0));
        assert!(!few.is_below(4, 0.004));
        assert!(few.is_below(5, 0.0));
        assert!(few.is_below(1, 0.01));
        assert!(report(Verdict::Diverged, 4, 4, 0).is_below(5, 0.0));
        assert!(!report(Verdict::Diverged, 4, 3, 1).is_below(5, 0.5));
        assert!(!report(Verdict::Stalled, 0, 0, 0).is_below(5, 0.5));
        assert!(!report(Verdict::Equal, 0, 0, 0).is_below(5, 0.5));
    }

    #[test]
    fn a_report_is_bounded_and_holds_values_only_where_they_are_asked_for() {
        let mut long = report(Verdict::Diverged, 99, 0, 0);
        let pair = ValuePair {
            column: "total".to_owned(),
            origin: "é".repeat(999),
            replica: String::new(),
        };
        let sample = SampleKey {
            key: "k".repeat(999),
            values: vec![pair; 30],
        };
        long.keys = vec![sample; 30];
        long.columns = vec![("c".to_owned(), 1); 30];
        let with = long.clone().bounded(true);
        assert_eq!(with.keys.len(), KEYS_MAX);
        assert_eq!(with.keys[0].values.len(), COLUMNS_MAX);
        let value = &with.keys[0].values[0].origin;
        assert_eq!(value.chars().count(), TEXT_CHARS_MAX + 1);
        assert_eq!(with.columns.len(), COLUMNS_MAX);
        let without = long.bounded(false);
        assert!(without.keys.iter().all(|sample| sample.values.is_empty()));
    }
}
