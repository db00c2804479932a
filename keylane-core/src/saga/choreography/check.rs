//! The static rules of a choreography: what could never be set going, or never end, is told before anything is tracked by it. All breaches are told, not only the first.

use std::collections::{BTreeMap, BTreeSet};

use super::{Choreography, ChoreographyStep};
use crate::saga::limits::{ADDRESS_BYTES_MAX, STEPS_MAX, is_name, is_text};

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChoreographyRule {
    /// C1: a name or a type that does not fit.
    Name,
    /// C2: no steps, or too many.
    StepCount,
    /// C3: one id for two steps.
    NamedTwice,
    /// C4: a step that nothing sets going.
    NothingSetsGoing,
    /// C5: steps that set each other going in a circle.
    Cycle,
    /// C6: an event that nobody tells.
    NobodyTells,
    /// C7: an event that begins nothing, or is told by a step too.
    BeginsNothing,
}

/// A breach of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChoreographyFinding {
    /// The rule.
    pub rule: ChoreographyRule,
    /// The step, by its place from 0; `None`: the choreography itself.
    pub step: Option<usize>,
    /// The field.
    pub field: &'static str,
    /// Which part of the field; `None`: the field as a whole.
    pub part: Option<String>,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub fix: String,
}

impl ChoreographyRule {
    /// Every rule, by number.
    pub const ALL: [ChoreographyRule; 7] = [
        ChoreographyRule::Name,
        ChoreographyRule::StepCount,
        ChoreographyRule::NamedTwice,
        ChoreographyRule::NothingSetsGoing,
        ChoreographyRule::Cycle,
        ChoreographyRule::NobodyTells,
        ChoreographyRule::BeginsNothing,
    ];
}

/// Every breach of every rule, in the order of the steps, then of the rules; none: sagas can be tracked by it.
pub fn check_choreography(choreography: &Choreography) -> Vec<ChoreographyFinding> {
    let mut checker = Checker {
        choreography,
        findings: Vec::new(),
    };
    checker.figures();
    if (1..=STEPS_MAX).contains(&choreography.steps.len()) {
        checker.names();
        checker.events();
        checker.cycle();
    }
    let mut findings = checker.findings;
    findings.sort_by_key(|it| (it.step, it.rule));
    findings
}

struct Checker<'a> {
    choreography: &'a Choreography,
    findings: Vec<ChoreographyFinding>,
}

impl<'a> Checker<'a> {
    fn steps(&self) -> impl Iterator<Item = (usize, &'a ChoreographyStep)> + use<'a> {
        self.choreography.steps.iter().enumerate()
    }

    fn find(
        &mut self,
        rule: ChoreographyRule,
        (step, field, part): (Option<usize>, &'static str, Option<&str>),
        what: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.findings.push(ChoreographyFinding {
            rule,
            step,
            field,
            part: part.map(str::to_owned),
            what: what.into(),
            fix: fix.into(),
        });
    }

    fn figures(&mut self) {
        const NAME: &str = "begin with a lower-case letter; then such letters, digits, '-' and '_', at most 64 bytes";
        let own = self.choreography;
        if !is_name(&own.name) {
            let place = (None, "choreography", None);
            self.find(
                ChoreographyRule::Name,
                place,
                format!("{:?} is no name", own.name),
                NAME,
            );
        }
        if own.steps.is_empty() || own.steps.len() > STEPS_MAX {
            self.find(
                ChoreographyRule::StepCount,
                (None, "steps", None),
                format!("{} steps", own.steps.len()),
                format!("a choreography has 1 to {STEPS_MAX}"),
            );
        }
        for (at, step) in self.steps() {
            if !is_name(&step.id) {
                let place = (Some(at), "id", None);
                self.find(
                    ChoreographyRule::Name,
                    place,
                    format!("{:?} is no name", step.id),
                    NAME,
                );
            }
        }
        let of_steps = self.steps().flat_map(|(at, step)| {
            let consumes = step
                .consumes
                .iter()
                .map(move |it| (Some(at), "consumes", it));
            consumes.chain(step.emits.iter().map(move |it| (Some(at), "emits", it)))
        });
        let begins = own.begins.iter().map(|it| (None, "begins", it));
        for (step, field, type_name) in begins.chain(of_steps).collect::<Vec<_>>() {
            if !is_text(type_name, ADDRESS_BYTES_MAX) {
                self.find(
                    ChoreographyRule::Name,
                    (step, field, Some(type_name)),
                    "an event's type is empty, too long, or holds a control character",
                    format!("write the event's ce_type, at most {ADDRESS_BYTES_MAX} bytes"),
                );
            }
        }
    }

    fn names(&mut self) {
        let mut known: BTreeMap<&str, usize> = BTreeMap::new();
        for (at, step) in self.steps() {
            if let Some(first) = known.get(step.id.as_str()) {
                self.find(
                    ChoreographyRule::NamedTwice,
                    (Some(at), "id", None),
                    format!("step {} is there already, as number {}", step.id, first + 1),
                    "give it another id",
                );
            } else {
                known.insert(&step.id, at);
            }
        }
    }

    /// Whether each event that is waited for is told by somebody, and each that begins it sets something going.
    fn events(&mut self) {
        let own = self.choreography;
        let told: BTreeSet<&str> = own.steps.iter().flat_map(|it| texts(&it.emits)).collect();
        let heard: BTreeSet<&str> = own
            .steps
            .iter()
            .flat_map(|it| texts(&it.consumes))
            .collect();
        for type_name in texts(&own.begins) {
            let place = (None, "begins", Some(type_name));
            if !heard.contains(type_name) {
                self.find(
                    ChoreographyRule::BeginsNothing,
                    place,
                    format!("{type_name} sets no step going"),
                    "name it under 'consumes' of the steps that it sets going, or leave it out",
                );
            } else if told.contains(type_name) {
                self.find(
                    ChoreographyRule::BeginsNothing,
                    place,
                    format!("{type_name} is told by a step of the choreography"),
                    "what begins a saga comes from outside: leave it out here, or under 'emits'",
                );
            }
        }
        for (at, step) in self.steps() {
            if step.consumes.is_empty() {
                self.find(
                    ChoreographyRule::NothingSetsGoing,
                    (Some(at), "consumes", None),
                    "nothing sets it going",
                    "name the types of the events that set it going",
                );
            }
            for type_name in texts(&step.consumes) {
                if !told.contains(type_name) && !texts(&own.begins).any(|it| it == type_name) {
                    self.find(
                        ChoreographyRule::NobodyTells,
                        (Some(at), "consumes", Some(type_name)),
                        format!("no step tells {type_name}"),
                        "name it under 'emits' of the step that tells it, or under 'begins' if it comes from outside",
                    );
                }
            }
        }
    }

    /// Each step is done once in a saga, so what sets a step going that has to be done before does nothing, or never comes.
    fn cycle(&mut self) {
        let steps = &self.choreography.steps;
        let mut tells: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (at, step) in self.steps() {
            texts(&step.emits).for_each(|it| tells.entry(it).or_default().push(at));
        }
        let causes = |step: &ChoreographyStep| -> BTreeSet<usize> {
            let told_by = texts(&step.consumes).filter_map(|it| tells.get(it));
            told_by.flatten().copied().collect()
        };
        // What is left when all that wait for nothing that is left are taken away, from both ends, lies in circles or between them.
        let mut left: BTreeMap<usize, BTreeSet<usize>> =
            self.steps().map(|(at, step)| (at, causes(step))).collect();
        loop {
            let is_behind = |at: usize, left: &BTreeMap<usize, BTreeSet<usize>>| {
                left.values().any(|causes| causes.contains(&at))
            };
            let free: Vec<usize> = left
                .iter()
                .filter(|(at, causes)| causes.is_empty() || !is_behind(**at, &left))
                .map(|(at, _)| *at)
                .collect();
            if free.is_empty() {
                break;
            }
            left.retain(|at, _| !free.contains(at));
            left.values_mut()
                .for_each(|causes| causes.retain(|at| !free.contains(at)));
        }
        let Some(first) = left.keys().next().copied() else {
            return;
        };
        let named = left.keys().filter_map(|at| steps.get(*at));
        let named: Vec<&str> = named.map(|step| step.id.as_str()).take(5).collect();
        let more = if left.len() > named.len() {
            " and others"
        } else {
            ""
        };
        self.find(
            ChoreographyRule::Cycle,
            (Some(first), "consumes", None),
            format!(
                "steps set each other going in a circle: {}{more}",
                named.join(", ")
            ),
            "each step is done once in a saga: let what comes again be another step's event",
        );
    }
}

fn texts(all: &[String]) -> impl Iterator<Item = &str> {
    all.iter().map(String::as_str)
}
