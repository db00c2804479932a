//! The three tests: what is done to the saga in each, and what must come of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use keylane_core::saga::{Plan, Start, State, StepKind};
use serde_json::Value;

use super::drive::{Drive, Fault};
use crate::participant::CarryOut;

/// A saga and who takes part in it.
pub struct Harness {
    pub(super) plan: Plan,
    pub(super) participants: BTreeMap<String, Arc<dyn CarryOut>>,
    /// No two runs, also of several harnesses on one database, have the same ids.
    name: String,
    runs: AtomicU32,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// The saga's id, by which the services know what is its own.
    pub saga: String,
    /// [`State::Completed`], or [`State::Compensated`].
    pub state: State,
    /// What it was begun with.
    pub data: Value,
    /// What was done to it, in words: for the message of a check.
    pub run: String,
}

/// What a test found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{run}: {what}")]
pub struct HarnessError {
    /// What was done to the saga.
    pub run: String,
    /// What is wrong, and where.
    pub what: String,
}

impl Harness {
    /// Of a saga.
    pub fn new(plan: Plan) -> Self {
        Harness {
            plan,
            participants: BTreeMap::new(),
            name: format!("harness-{:016x}", rand::random::<u64>()),
            runs: AtomicU32::new(0),
        }
    }

    /// Who carries out the commands to a participant, which is named as the definition names it: by its name, its topic or its URL.
    #[must_use]
    pub fn participant(mut self, name: impl Into<String>, who: Arc<dyn CarryOut>) -> Self {
        self.participants.insert(name.into(), who);
        self
    }

    /// All three. `data` is what a run is begun with, from 1; `check` is called at the end of each run, and again after everything that was sent has come once more.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub async fn all(
        &self,
        data: impl Fn(u32) -> Value,
        check: impl AsyncFn(&Ended) -> Result<(), String>,
    ) -> Result<(), HarnessError> {
        self.each_step_repeated(&data, &check).await?;
        self.each_step_failing(&data, &check).await?;
        self.each_undo_repeated(&data, &check).await
    }

    /// The commands of each step come several times, side by side: every answer is the first one, and the saga ends as it does without.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub async fn each_step_repeated(
        &self,
        data: impl Fn(u32) -> Value,
        check: impl AsyncFn(&Ended) -> Result<(), String>,
    ) -> Result<(), HarnessError> {
        let plain = self.run(Fault::Nothing, &data, &check).await?;
        for place in 0..self.plan.order().len() {
            let state = self.run(Fault::Repeated(place), &data, &check).await?;
            self.expect(Fault::Repeated(place), state, plain)?;
        }
        Ok(())
    }

    /// Each step says no; and each step is carried out without anybody hearing of it until it is given up. A saga that can go back does, and nothing is left of it.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub async fn each_step_failing(
        &self,
        data: impl Fn(u32) -> Value,
        check: impl AsyncFn(&Ended) -> Result<(), String>,
    ) -> Result<(), HarnessError> {
        for (place, step) in self.plan.definition().steps.iter().enumerate() {
            if step.kind != StepKind::Retriable {
                let fault = Fault::SaysNo(place);
                let state = self.run(fault, &data, &check).await?;
                self.expect(fault, state, State::Compensated)?;
            }
            self.run(Fault::Unheard(place), &data, &check).await?;
        }
        Ok(())
    }

    /// Each step that can be undone is undone, by commands that come several times, side by side.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub async fn each_undo_repeated(
        &self,
        data: impl Fn(u32) -> Value,
        check: impl AsyncFn(&Ended) -> Result<(), String>,
    ) -> Result<(), HarnessError> {
        for (place, step) in self.plan.definition().steps.iter().enumerate() {
            if step.kind == StepKind::Compensatable {
                let fault = Fault::TakenBack(place);
                let state = self.run(fault, &data, &check).await?;
                self.expect(fault, state, State::Compensated)?;
            }
        }
        Ok(())
    }

    /// One saga from its start to its end and beyond.
    async fn run(
        &self,
        fault: Fault,
        data: impl Fn(u32) -> Value,
        check: impl AsyncFn(&Ended) -> Result<(), String>,
    ) -> Result<State, HarnessError> {
        let number = self.runs.fetch_add(1, Ordering::Relaxed) + 1;
        let run = self.words(fault);
        let failed = |what: String| HarnessError {
            run: run.clone(),
            what,
        };
        let begun = Start {
            id: format!("{}-{number}", self.name),
            key: None,
            data: data(number),
        };
        let mut drive = Drive::new(self, fault, begun).map_err(failed)?;
        drive.drive().await.map_err(failed)?;
        let ended = Ended {
            saga: drive.saga.id.clone(),
            state: drive.saga.state(),
            data: drive.saga.data.clone(),
            run: run.clone(),
        };
        check(&ended).await.map_err(failed)?;
        drive.everything_again().await.map_err(failed)?;
        let again = check(&ended).await;
        again.map_err(|why| failed(format!("after everything has come once more: {why}")))?;
        Ok(ended.state)
    }

    fn expect(&self, fault: Fault, state: State, expected: State) -> Result<(), HarnessError> {
        match state == expected {
            true => Ok(()),
            false => Err(HarnessError {
                run: self.words(fault),
                what: format!(
                    "the saga is {}, and should be {}",
                    state.code(),
                    expected.code()
                ),
            }),
        }
    }

    fn words(&self, fault: Fault) -> String {
        let step = |place| self.plan.step(place).map_or("", |step| step.id.as_str());
        match fault {
            Fault::Nothing => "without a fault".to_owned(),
            Fault::Repeated(place) => format!("{} repeated", step(place)),
            Fault::SaysNo(place) => format!("{} says no", step(place)),
            Fault::Unheard(place) => format!("nobody hears of {}", step(place)),
            Fault::TakenBack(place) => format!("taken back once {} is done", step(place)),
        }
    }
}
