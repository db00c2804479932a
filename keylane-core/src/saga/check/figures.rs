//! The rules that look at one step, or at the definition's own fields.

use super::{Checker, Rule};
use crate::saga::definition::{Step, StepKind};
use crate::saga::limits::{ADDRESS_BYTES_MAX, MS_MAX, NAME_BYTES_MAX, STEPS_MAX, is_name, is_text};

impl Checker<'_> {
    /// Everything that can be seen without looking at other steps.
    pub(super) fn figures(&mut self) {
        let definition = self.definition;
        self.name(None, "saga", &definition.name);
        if definition.version == 0 {
            let fix = "count versions from 1";
            self.find(Rule::Name, None, "version", "version 0", fix);
        }
        self.time(None, "deadline_ms", definition.deadline_ms);
        self.time(None, "patience_ms", Some(definition.patience_ms));
        let count = definition.steps.len();
        if count == 0 || count > STEPS_MAX {
            self.find(
                Rule::StepCount,
                None,
                "steps",
                format!("{count} steps"),
                format!("a saga has 1 to {STEPS_MAX}; split it into several"),
            );
        }
        for (place, step) in self.steps().take(STEPS_MAX) {
            self.step(place, step);
        }
    }

    fn step(&mut self, place: usize, step: &Step) {
        self.name(Some(place), "id", &step.id);
        self.address(place, "participant", step.participant.name());
        self.address(place, "action", &step.action);
        if let Some(undo) = &step.undo {
            self.address(place, "undo", undo);
        }
        self.undo(place, step);
        self.ends(place, step);
        self.time(Some(place), "timeout_ms", step.timeout_ms);
        self.retry(place, step);
    }

    fn name(&mut self, place: Option<usize>, field: &'static str, name: &str) {
        if !is_name(name) {
            self.find(
                Rule::Name,
                place,
                field,
                format!("{:?} cannot be a name", shortened(name)),
                format!("a lower-case letter, then such letters, digits, - and _, at most {NAME_BYTES_MAX} bytes"),
            );
        }
    }

    fn address(&mut self, place: usize, field: &'static str, text: &str) {
        if !is_text(text, ADDRESS_BYTES_MAX) {
            self.find(
                Rule::Name,
                Some(place),
                field,
                format!("{:?} ({} bytes)", shortened(text), text.len()),
                format!("1 to {ADDRESS_BYTES_MAX} bytes without control characters"),
            );
        }
    }

    fn undo(&mut self, place: usize, step: &Step) {
        match (step.kind, &step.undo) {
            (StepKind::Compensatable, None) => self.find(
                Rule::UndoMissing,
                Some(place),
                "undo",
                "a compensatable step without undo: its effect would stay when the saga goes back",
                "name the command that undoes it, or make it the pivot or retriable",
            ),
            (StepKind::Pivot | StepKind::Retriable, Some(undo)) => self.find(
                Rule::UndoNeverUsed,
                Some(place),
                "undo",
                format!(
                    "{undo} would never run: a {} step is not undone",
                    step.kind.code()
                ),
                "leave undo out, or make the step compensatable",
            ),
            _ => {}
        }
    }

    /// An action without a verdict is given up some time, or never where it must not be.
    fn ends(&mut self, place: usize, step: &Step) {
        let bounds = (step.timeout_ms.is_some(), step.retry.attempts_max.is_some());
        match (step.kind, bounds) {
            (StepKind::Retriable, (_, true)) => {
                self.find(
                    Rule::RetriableGivenUp,
                    Some(place),
                    "retry",
                    "attempts_max on a retriable step: after the pivot there is only forward",
                    "leave attempts_max out; patience_ms says when the saga is told as stuck",
                );
                self.part("attempts_max");
            }
            (StepKind::Retriable, (true, _)) => self.find(
                Rule::RetriableGivenUp,
                Some(place),
                "timeout_ms",
                "a time-out on a retriable step: after the pivot there is only forward",
                "leave timeout_ms out; patience_ms says when the saga is told as stuck",
            ),
            (StepKind::Compensatable | StepKind::Pivot, (false, false))
                if self.definition.deadline_ms.is_none() =>
            {
                self.find(
                    Rule::NeverGivenUp,
                    Some(place),
                    "timeout_ms",
                    "nothing ends this step if its participant never answers",
                    "give it timeout_ms or retry.attempts_max, or the saga deadline_ms",
                );
            }
            _ => {}
        }
    }

    fn time(&mut self, place: Option<usize>, field: &'static str, ms: Option<u64>) {
        if ms.is_some_and(|ms| ms == 0 || ms > MS_MAX) {
            let what = format!("{} ms", ms.unwrap_or_default());
            let fix = format!("1 to {MS_MAX} ms; leave it out for no bound");
            self.find(Rule::Times, place, field, what, fix);
        }
    }

    fn retry(&mut self, place: usize, step: &Step) {
        let retry = &step.retry;
        let wrong = [
            (
                "answer_ms",
                !(1..=MS_MAX).contains(&retry.answer_ms),
                format!("answer_ms is {}", retry.answer_ms),
                "1 ms or more: an attempt must be able to be answered",
            ),
            (
                "first_ms",
                retry.first_ms == 0,
                "first_ms is 0".to_owned(),
                "1 ms or more: without a pause a failing participant gets no rest",
            ),
            (
                "cap_ms",
                retry.cap_ms < retry.first_ms || retry.cap_ms > MS_MAX,
                format!("cap_ms is {}, first_ms {}", retry.cap_ms, retry.first_ms),
                "cap_ms is the longest pause: at least first_ms",
            ),
            (
                "factor",
                !(retry.factor.is_finite() && retry.factor >= 1.0),
                format!("factor is {}", retry.factor),
                "1 or more: pauses do not shrink",
            ),
            (
                "jitter",
                !(0.0..=1.0).contains(&retry.jitter),
                format!("jitter is {}", retry.jitter),
                "a share of the pause, 0 to 1",
            ),
            (
                "attempts_max",
                retry.attempts_max == Some(0),
                "attempts_max is 0".to_owned(),
                "1 or more, or leave it out",
            ),
        ];
        for (name, _, what, fix) in wrong.into_iter().filter(|(_, is_wrong, ..)| *is_wrong) {
            self.find(Rule::Retry, Some(place), "retry", what, fix);
            self.part(name);
        }
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}
