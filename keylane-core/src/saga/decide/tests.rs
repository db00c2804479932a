//! Sagas that are moved event by event: what goes out, where they stand, what is noted.

use serde_json::json;

use super::*;
use crate::saga::check::check;
use crate::saga::condition::Condition;
use crate::saga::definition::{Definition, Participant, Retry};
use crate::saga::event::Operation;
use crate::saga::message::{Outcome, Reply};
use crate::saga::state::State;
use crate::saga::template::Template;

mod back;
mod forward;
mod operations;
mod time;

fn service() -> Participant {
    Participant::Named("service".into())
}

fn can_be_undone(id: &str) -> Step {
    Step::compensatable(id, service(), "do", "undo").timeout_ms(1_000)
}

fn decides(id: &str) -> Step {
    Step::pivot(id, service(), "do").timeout_ms(1_000)
}

fn succeeds(id: &str) -> Step {
    Step::retriable(id, service(), "do")
}

fn steps<const N: usize>(steps: [Step; N]) -> Definition {
    steps
        .into_iter()
        .fold(Definition::new("saga", 1), Definition::step)
}

/// reserve, charge (the pivot), ship.
fn order() -> Definition {
    steps([
        can_be_undone("reserve"),
        decides("charge"),
        succeeds("ship"),
    ])
}

/// a, then b and c side by side, then d.
fn diamond() -> Definition {
    steps([
        can_be_undone("a"),
        can_be_undone("b").after(["a"]),
        can_be_undone("c").after(["a"]),
        can_be_undone("d").after(["b", "c"]),
    ])
}

/// One saga and all that went out of it.
struct Driven {
    plan: Plan,
    saga: Saga,
    log: Vec<Entry>,
    now_us: i64,
    out: Vec<Command>,
}

impl Driven {
    fn of(definition: Definition) -> Driven {
        Driven::with(definition, json!({}))
    }

    fn with(definition: Definition, data: serde_json::Value) -> Driven {
        let plan = check(definition).unwrap();
        let id = Start {
            id: "s1".into(),
            key: None,
            data,
        };
        let begun = start(&plan, id, Moment { now_us: 0, seed: 7 }).unwrap();
        Driven {
            plan,
            saga: begun.saga,
            log: begun.log,
            now_us: 0,
            out: begun.commands,
        }
    }

    fn tell(&mut self, event: Event) {
        let at = Moment {
            now_us: self.now_us,
            seed: 7,
        };
        let before = self.saga.clone();
        let decision = decide(&self.plan, self.saga.clone(), event, at);
        if decision.saga.revision == before.revision {
            assert_eq!(decision.saga, before, "it changed without a revision");
            assert_eq!(decision.commands, [], "a command without a revision");
        }
        assert_eq!(decision.saga.next_us().is_none(), decision.saga.has_ended());
        self.saga = decision.saga;
        self.log.extend(decision.log);
        self.out.extend(decision.commands);
    }

    fn answer(&mut self, step: &str, op: Op, outcome: Outcome) {
        let step = step.to_owned();
        self.tell(Event::Reply(Reply { step, op, outcome }));
    }

    fn does(&mut self, step: &str) {
        self.answer(step, Op::Action, Outcome::Ok(json!({"did": step})));
    }

    fn undoes(&mut self, step: &str) {
        self.answer(step, Op::Compensate, Outcome::Ok(json!(null)));
    }

    fn refuses(&mut self, step: &str) {
        self.answer(step, Op::Action, Outcome::Rejected("no".into()));
    }

    fn asks(&mut self, operation: Operation) {
        self.tell(Event::Operation {
            operation,
            actor: "ann".into(),
            reason: "because".into(),
        });
    }

    fn at_ms(&mut self, ms: i64) {
        self.now_us = ms * 1000;
        self.tell(Event::Due);
    }

    /// What went out since this was asked for last, as `step/op`.
    fn sent(&mut self) -> Vec<String> {
        let out = std::mem::take(&mut self.out);
        out.iter()
            .map(|it| format!("{}/{}", it.step, it.op.code()))
            .collect()
    }

    /// As [`Driven::sent`], after which the saga is in this state.
    fn check(&mut self, sent: &[&str], state: State) {
        assert_eq!(self.sent(), sent, "{:#?}", self.log);
        assert_eq!(self.saga.state(), state, "{:#?}", self.log);
    }

    fn status(&self, step: &str) -> StepStatus {
        self.saga.steps[self.plan.place(step).unwrap()].status
    }

    fn last_note(&self) -> What {
        self.log.last().unwrap().what
    }
}
