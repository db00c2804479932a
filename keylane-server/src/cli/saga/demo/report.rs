//! What was proven, in plain words or as one JSON object; and the exit code that follows from it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use keylane_core::saga::State;
use serde::Serialize;

use super::proof::{Books, Verdict};
use super::travel::Service;
use crate::cli::demo::{Paint, grouped};
use crate::exit_code::Exit;

/// The demo's result. Scripts rely on the fields up to `invariant_violations`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Sagas that were begun.
    pub sagas: u64,
    /// Of these, those that have all their effects.
    pub completed: u64,
    /// Those that have none.
    pub compensated: u64,
    /// Those that had not ended in time.
    pub stuck: u64,
    /// Kills of the demo's own processes.
    pub kills: u64,
    /// Sagas and sums that are not as they must be.
    pub invariant_violations: u64,
    /// Sagas that an orchestrator drove; the others went from event to event.
    pub driven: u64,
    /// How long it all took.
    pub seconds: f64,
    /// With this, the same trips and the same kills come again.
    pub seed: u64,
    /// Where everything is, if it was kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<String>,
    /// What went wrong, in words.
    pub problems: Vec<String>,
    /// The sums, in words.
    pub sums: Vec<String>,
    /// Two of them that went back.
    pub rollbacks: Rollback,
}

/// The timelines of two sagas that went back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rollback {
    /// One that was driven.
    pub driven: Option<String>,
    /// One that was not.
    pub heard_of: Option<String>,
}

impl Report {
    /// Takes in how the sagas ended, and what the proof found.
    pub fn judge(
        &mut self,
        states: &BTreeMap<String, State>,
        verdict: &Verdict,
        books: &[(Service, Books)],
    ) {
        let count = |state: State| states.values().filter(|it| **it == state).count() as u64;
        self.sagas = states.len() as u64;
        (self.completed, self.compensated) = (count(State::Completed), count(State::Compensated));
        self.stuck = self.sagas - self.completed - self.compensated;
        self.invariant_violations = verdict.violations;
        self.problems.extend(verdict.examples.iter().cloned());
        self.sums = books.iter().map(sum).collect();
    }

    /// 0 only without violations, with every saga ended, some of either kind, and after kills.
    pub fn exit(&self) -> Exit {
        let proves = self.completed > 0 && self.compensated > 0 && self.kills > 0;
        match self.invariant_violations {
            0 if self.stuck == 0 && proves && self.problems.is_empty() => Exit::Ok,
            0 => Exit::Error,
            _ => Exit::Findings,
        }
    }

    /// For people.
    pub fn text(&self, colored: bool) -> String {
        let paint = Paint(colored);
        let mut text = String::new();
        let rollbacks = [
            (
                "A trip that an orchestrator took back",
                &self.rollbacks.driven,
            ),
            (
                "A trip that its services took back",
                &self.rollbacks.heard_of,
            ),
        ];
        for (title, timeline) in rollbacks {
            if let Some(timeline) = timeline {
                let _ = write!(text, "\n{}\n\n", paint.with("1", title));
                for line in timeline.lines() {
                    let _ = writeln!(text, "  {line}");
                }
            }
        }
        let _ = write!(
            text,
            "\nWhat was proven in {:.1} s (seed {})\n\n",
            self.seconds, self.seed
        );
        for (label, fine, count, words) in self.rows() {
            let count = format!("{:>7}", grouped(count));
            let count = match fine {
                None => count,
                Some(true) => paint.with("32", &count),
                Some(false) => paint.with("1;31", &count),
            };
            // Writing to a `String` cannot fail.
            let _ = writeln!(text, "  {label:<12} {count}  {words}");
        }
        text.push('\n');
        for sum in &self.sums {
            let _ = writeln!(text, "  {sum}");
        }
        text.push('\n');
        for problem in &self.problems {
            let _ = writeln!(text, "  {} {problem}", paint.with("1;31", "✗"));
        }
        let _ = writeln!(text, "  {}", self.verdict(paint));
        if let Some(dir) = &self.dir {
            let _ = writeln!(
                text,
                "\n  Look for yourself: keylane saga list --state compensated --config {dir}/keylane.yaml"
            );
        }
        text
    }

    /// Label, whether it is as it must be (`None`: any number is right), the number, and what it counts.
    fn rows(&self) -> Vec<(&'static str, Option<bool>, u64, String)> {
        let words = |words: &str| words.to_owned();
        let heard_of = self.sagas.saturating_sub(self.driven);
        vec![
            (
                "sagas",
                None,
                self.sagas,
                format!(
                    "{} driven over HTTP, {heard_of} from event to event",
                    self.driven
                ),
            ),
            (
                "completed",
                Some(self.completed > 0),
                self.completed,
                words("each with one seat, one room and one payment"),
            ),
            (
                "compensated",
                Some(self.compensated > 0),
                self.compensated,
                words("with nothing left of them"),
            ),
            ("stuck", Some(self.stuck == 0), self.stuck, String::new()),
            (
                "kills",
                Some(self.kills > 0),
                self.kills,
                words("kill -9 on four processes"),
            ),
            (
                "violations",
                Some(self.invariant_violations == 0),
                self.invariant_violations,
                words("found in the services' own books"),
            ),
        ]
    }

    fn verdict(&self, paint: Paint) -> String {
        match self.exit() {
            Exit::Ok => paint.with(
                "1;32",
                "IT ADDS UP. Every trip has all of its bookings or none, each once.",
            ),
            Exit::Findings => paint.with("1;31", "IT DOES NOT ADD UP. See above."),
            _ => paint.with(
                "1;31",
                "NOT PROVEN. Nothing is wrong in the books, but see above.",
            ),
        }
    }
}

fn sum((service, books): &(Service, Books)) -> String {
    let what = match service {
        Service::Flight => "seats",
        Service::Hotel => "rooms",
        Service::Payment => "money",
    };
    let number = |number: i64| grouped(u64::try_from(number).unwrap_or_default());
    format!(
        "{what:<6} {:>9} at the start = {:>9} left + {:>7} given away",
        number(books.begun),
        number(books.left_over),
        number(books.given)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fine() -> Report {
        Report {
            sagas: 3,
            completed: 2,
            compensated: 1,
            kills: 4,
            ..Report::default()
        }
    }

    #[test]
    fn exit_is_0_only_if_all_ended_some_went_back_and_nothing_is_wrong() {
        let exit = |change: fn(&mut Report)| {
            let mut report = fine();
            change(&mut report);
            report.exit()
        };
        assert_eq!(exit(|_| {}), Exit::Ok);
        assert_eq!(exit(|it| it.invariant_violations = 1), Exit::Findings);
        assert_eq!(exit(|it| it.stuck = 1), Exit::Error);
        assert_eq!(exit(|it| it.kills = 0), Exit::Error);
        assert_eq!(exit(|it| it.completed = 0), Exit::Error);
        assert_eq!(exit(|it| it.compensated = 0), Exit::Error);
        assert_eq!(exit(|it| it.problems.push("drain".into())), Exit::Error);
    }
}
