//! What was proven, in plain words or as one JSON object; and the exit code that follows from it.

use std::fmt::Write as _;

use serde::Serialize;

use super::proof::{OrderVerdict, RowVerdict};
use crate::cli::{Format, print};
use crate::exit_code::{Exit, Failure};

/// The demo's result. Scripts rely on the fields up to `seconds`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Changes and copied rows that the origin told, those told again after a kill included.
    pub captured: u64,
    /// Changes in the log.
    pub published: u64,
    /// Of these, those applied at the replica.
    pub applied: u64,
    /// Changes that were told or fetched again after a kill, and skipped.
    pub replays_skipped: u64,
    /// Kills after which the killed worker, started again, went on.
    pub kills: u64,
    /// Versions out of order, twice, or never seen at the origin.
    pub order_violations: u64,
    /// Rows compared.
    pub rows_compared: u64,
    /// Rows that differ.
    pub rows_different: u64,
    /// Whether both databases hold the same.
    pub equal: bool,
    /// How long it all took.
    pub seconds: f64,
    /// With this, the same traffic and the same kills come again.
    pub seed: u64,
    /// Kills, survived or not.
    pub kills_sent: u64,
    /// Rows that the shop's traffic changed at the origin.
    pub changes_made: u64,
    /// Lines of the replica's own history that were checked for order.
    pub history_checked: u64,
    /// Rows of the initial copy that were copied again.
    pub copied_again: u64,
    /// Changes that are in the log twice.
    pub doubled_in_log: u64,
    /// Updates and deletes that hit no row.
    pub missing_rows: u64,
    /// Where the databases are, if they were kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<String>,
    /// What went wrong, in words.
    pub problems: Vec<String>,
}

impl Report {
    /// Takes in what the proof found.
    pub fn judge(&mut self, order: &OrderVerdict, rows: &RowVerdict) {
        self.order_violations = order.violations();
        self.history_checked = order.checked;
        self.copied_again = order.copied_again;
        self.rows_compared = rows.compared;
        self.rows_different = rows.different();
        self.equal = rows.compared > 0 && rows.different() == 0;
        self.problems.extend(
            order
                .examples
                .iter()
                .map(|example| format!("order: {example}")),
        );
        self.problems.extend(
            rows.examples
                .iter()
                .map(|example| format!("difference: {example}")),
        );
    }

    /// 0 only if both sides are equal, no order was violated, a kill was survived, and nothing else went wrong.
    pub fn exit(&self) -> Exit {
        let found = !self.equal
            || self.order_violations > 0
            || self.doubled_in_log > 0
            || self.applied != self.published;
        match found {
            true => Exit::Findings,
            false if self.kills == 0 || !self.problems.is_empty() => Exit::Error,
            false => Exit::Ok,
        }
    }

    /// For people.
    pub fn text(&self, colored: bool) -> String {
        let paint = Paint(colored);
        let mut text = format!(
            "\nWhat was proven in {:.1} s (seed {})\n\n",
            self.seconds, self.seed
        );
        for (label, fine, count, words) in self.rows() {
            let count = format!("{:>9}", grouped(count));
            let count = match fine {
                None => count,
                Some(true) => paint.with("32", &count),
                Some(false) => paint.with("1;31", &count),
            };
            // Writing to a `String` cannot fail.
            let _ = writeln!(text, "  {label:<17} {count}  {words}");
        }
        text.push('\n');
        for problem in &self.problems {
            let _ = writeln!(text, "  {} {problem}", paint.with("1;31", "✗"));
        }
        let _ = writeln!(text, "  {}", self.verdict(paint));
        if let Some(dir) = &self.dir {
            let _ = writeln!(text, "\n  Look for yourself: {dir}");
        }
        text
    }

    /// Label, whether it is as it must be (`None`: any number is right), the number, and what it counts.
    fn rows(&self) -> Vec<(&'static str, Option<bool>, u64, String)> {
        let fine = |fine: bool| Some(fine);
        let words = |words: &str| words.to_owned();
        let doubled = match self.doubled_in_log {
            0 => words("no change is in the log twice"),
            count => format!("{} of them there twice", grouped(count)),
        };
        let survived = format!(
            "of {} kill -9 on capture and apply survived",
            self.kills_sent
        );
        let all_survived = self.kills == self.kills_sent && self.kills > 0;
        let seen = format!(
            "in {} writes that the replica's triggers saw",
            grouped(self.history_checked)
        );
        vec![
            (
                "captured",
                None,
                self.captured,
                words("changes and copied rows, told by triggers"),
            ),
            (
                "published",
                None,
                self.published,
                words("in the embedded log"),
            ),
            (
                "doubled",
                fine(self.doubled_in_log == 0),
                self.doubled_in_log,
                doubled,
            ),
            (
                "applied",
                fine(self.applied == self.published),
                self.applied,
                words("at the replica, exactly once each"),
            ),
            (
                "replays skipped",
                None,
                self.replays_skipped,
                words("came again after a kill, had no second effect"),
            ),
            ("kills", fine(all_survived), self.kills, survived),
            (
                "order violations",
                fine(self.order_violations == 0),
                self.order_violations,
                seen,
            ),
            (
                "rows compared",
                None,
                self.rows_compared,
                words("in 5 tables, every column, with its type"),
            ),
            (
                "rows different",
                fine(self.rows_different == 0),
                self.rows_different,
                String::new(),
            ),
        ]
    }

    fn verdict(&self, paint: Paint) -> String {
        if self.exit() == Exit::Ok {
            let words = "EQUAL. The replica holds what the origin holds: nothing lost, nothing doubled, in order.";
            paint.with("1;32", words)
        } else if self.equal {
            paint.with("1;31", "NOT PROVEN. The rows are equal, but see above.")
        } else {
            paint.with(
                "1;31",
                "NOT EQUAL. The replica does not hold what the origin holds.",
            )
        }
    }
}

/// Prints a demo's result.
///
/// # Errors
/// Never, for results as there are.
pub fn tell(
    format: Format,
    report: &impl Serialize,
    text: impl FnOnce() -> String,
) -> Result<(), Failure> {
    let told = match format {
        Format::Text => text(),
        Format::Json => {
            let json = serde_json::to_string(report);
            json.map_err(|error| Failure::new(Exit::Error, error.to_string()))? + "\n"
        }
    };
    print(told.as_bytes());
    Ok(())
}

/// Colours, or none.
#[derive(Clone, Copy)]
pub struct Paint(pub bool);

impl Paint {
    /// A text in a colour, by its number at a terminal.
    pub fn with(self, code: &str, text: &str) -> String {
        if self.0 {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// `12345` as `12,345`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fine() -> Report {
        Report {
            published: 9,
            applied: 9,
            kills: 2,
            kills_sent: 2,
            rows_compared: 5,
            equal: true,
            ..Report::default()
        }
    }

    #[test]
    fn exit_is_0_only_if_equal_in_order_and_after_a_kill() {
        assert_eq!(fine().exit(), Exit::Ok);
        assert_eq!(
            Report {
                equal: false,
                ..fine()
            }
            .exit(),
            Exit::Findings
        );
        assert_eq!(
            Report {
                order_violations: 1,
                ..fine()
            }
            .exit(),
            Exit::Findings
        );
        assert_eq!(
            Report {
                doubled_in_log: 1,
                ..fine()
            }
            .exit(),
            Exit::Findings
        );
        assert_eq!(
            Report {
                applied: 8,
                ..fine()
            }
            .exit(),
            Exit::Findings
        );
        assert_eq!(Report { kills: 0, ..fine() }.exit(), Exit::Error);
        assert_eq!(
            Report {
                problems: vec!["settle".into()],
                ..fine()
            }
            .exit(),
            Exit::Error
        );
    }

    #[test]
    fn two_empty_databases_prove_nothing() {
        let mut report = fine();
        report.judge(&OrderVerdict::default(), &RowVerdict::default());
        assert!(!report.equal);
        assert_eq!(report.exit(), Exit::Findings);
    }

    #[test]
    fn a_difference_and_a_step_back_reach_the_exit_code_and_the_text() {
        let mut report = fine();
        let order = OrderVerdict {
            steps_back: 1,
            examples: vec!["orders 7: version 3 was written after a later one".into()],
            ..OrderVerdict::default()
        };
        let rows = RowVerdict {
            compared: 5,
            missing: 1,
            examples: vec!["orders 8: is missing at the replica".into()],
            ..RowVerdict::default()
        };
        report.judge(&order, &rows);
        assert_eq!(report.exit(), Exit::Findings);
        let text = report.text(false);
        assert!(
            text.contains("orders 7: version 3")
                && text.contains("orders 8: is missing")
                && text.contains("NOT EQUAL"),
            "{text}"
        );
        assert!(
            text.lines().all(|line| line.chars().count() <= 80
                || line.contains('✗')
                || line.contains("EQUAL")),
            "{text}"
        );
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!(
            [0, 999, 1000, 1_234_567].map(grouped),
            ["0", "999", "1,000", "1,234,567"]
        );
    }
}
