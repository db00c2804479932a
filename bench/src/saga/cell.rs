//! What is driven, and by what way.

use std::fmt::Write as _;

/// Who answers, by the names that definitions call them.
pub(crate) const PARTICIPANTS: [&str; 2] = ["stock", "money"];
/// Of a hundred sagas so many are refused where the second step may say no.
const REFUSED_OF_HUNDRED: u64 = 30;
const FAN_OUT: usize = 10;

/// How commands and answers travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Http,
    Kafka,
}

/// What the sagas are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Two steps that do nothing.
    Empty,
    /// Two steps, each a transaction of the participant's own database with the barrier's row and one of its effect.
    Barrier,
    /// Ten steps side by side that do nothing.
    FanOut,
    /// Two steps that do nothing; of ten sagas three are refused by the second and go back.
    Refused,
}

/// One workload by one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) way: Way,
    pub(crate) work: Work,
}

impl Cell {
    /// Two empty steps over HTTP and over Kafka come first.
    pub(crate) fn all() -> impl Iterator<Item = Cell> {
        let works = [Work::Empty, Work::Barrier, Work::FanOut, Work::Refused];
        let of = |work| [Way::Http, Way::Kafka].map(|way| Cell { way, work });
        works.into_iter().flat_map(of)
    }

    pub(crate) fn name(self) -> String {
        let way = match self.way {
            Way::Http => "http",
            Way::Kafka => "kafka",
        };
        let work = match self.work {
            Work::Empty => "empty",
            Work::Barrier => "barrier",
            Work::FanOut => "fan_out",
            Work::Refused => "refused",
        };
        format!("{way}_{work}")
    }

    /// Of a hundred sagas so many are refused.
    pub(crate) fn refuses(self) -> u64 {
        match self.work {
            Work::Refused => REFUSED_OF_HUNDRED,
            Work::Empty | Work::Barrier | Work::FanOut => 0,
        }
    }

    /// The steps, each with its participant, the types of its action and its undo, and whether it waits for the one before.
    fn steps(self) -> Vec<String> {
        let two = |step: &str, [stock, action, undo]: [&str; 3], after: &str| {
            format!(
                "  - {{ id: {step}, kind: compensatable, participant: {stock}, action: {action}, undo: {undo}, timeout: 60s{after} }}"
            )
        };
        if self.work != Work::FanOut {
            return vec![
                two("reserve", ["stock", "reserve.v1", "release.v1"], ""),
                two("charge", ["money", "charge.v1", "refund.v1"], ""),
            ];
        }
        let beside = |number: usize| {
            let stock = PARTICIPANTS[number % PARTICIPANTS.len()];
            let step = format!("part{number}");
            two(&step, [stock, "reserve.v1", "release.v1"], ", after: []")
        };
        (0..FAN_OUT).map(beside).collect()
    }

    /// How many steps a saga has.
    pub(crate) fn step_count(self) -> u64 {
        self.steps().len() as u64
    }

    /// The definitions `trip`, which is measured, and `wait`, whose only step its participant never finishes.
    pub(crate) fn definitions(self) -> [(&'static str, String); 2] {
        let mut trip = "saga: trip\nversion: 1\nsteps:\n".to_owned();
        for step in self.steps() {
            writeln!(trip, "{step}").expect("a String takes all");
        }
        let wait = "saga: wait
version: 1
steps:
  - { id: wait, kind: compensatable, participant: stock, action: wait.v1, undo: release.v1, timeout: 30d, retry: { first: 1h, cap: 1h, answer: 1h } }
";
        [("trip", trip), ("wait", wait.to_owned())]
    }
}
