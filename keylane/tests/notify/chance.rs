//! Lives of messages by chance: any answer, and deaths at any moment. The time is made up, so that nothing is waited for.

use std::collections::BTreeMap;
use std::sync::Arc;

use keylane::sqlite::notify::SqliteOutbox;
use keylane_core::notify::{Answer, Answered, Next, Observation, Outbox, State, Verdict};

use super::bed::{Bed, report, told_to};

const SEEDS: u64 = 12;
const RUNS: u64 = 25;
const TABLES: [&str; 2] = ["orders", "items"];

/// A small generator, so that a failure can be repeated from its seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % bound
    }
}

/// What the receiver has, by table: the states it was told, each with its message's name and whether it may have come before.
type Heard = BTreeMap<String, Vec<(String, State, bool)>>;

struct Life {
    dice: Dice,
    bed: Bed,
    outbox: Arc<SqliteOutbox>,
    now_us: i64,
    heard: Heard,
}

impl Life {
    /// One look at what there is to send; `false` if there is nothing.
    async fn send(&mut self) -> bool {
        let next = self.outbox.next("ops", self.now_us).await.expect("a look");
        let entry = match next {
            Next::Send(entry) => entry,
            Next::Wait(until_us) => {
                self.now_us = until_us;
                return true;
            }
            Next::Idle => return false,
        };
        let why = String::new();
        let (came, answer) = match self.dice.below(10) {
            0 => (false, Answer::Away { why }),
            1 => (
                false,
                Answer::Later {
                    after_ms: None,
                    why,
                },
            ),
            2 => (true, Answer::Unknown { why }),
            3 => (false, Answer::Unknown { why }),
            _ => (true, Answer::Taken),
        };
        if came {
            let subject = entry.message.subject.as_ref().expect("of a table");
            let table = subject.what.table().unwrap_or_default().to_owned();
            let state = entry.message.news.state().expect("a change");
            let told = (entry.id.clone(), state, entry.may_have_come);
            self.heard.entry(table).or_default().push(told);
        }
        if self.dice.below(5) == 0 {
            // The sender dies before it notes the answer.
            self.outbox = self.bed.open().await;
            return true;
        }
        let answered = Answered {
            number: entry.number,
            answer,
            at_us: self.now_us,
            chance: 0.5,
            pace_ms: 0,
        };
        let noted = self.outbox.answered("ops", answered).await;
        noted.expect("it is noted");
        true
    }
}

#[tokio::test]
async fn whatever_is_answered_each_change_comes_in_order_and_twice_only_if_it_says_so() {
    for seed in 1..=SEEDS {
        let bed = Bed::new();
        let mut life = Life {
            dice: Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
            outbox: bed.open().await,
            bed,
            now_us: 1_700_000_000_000_000,
            heard: Heard::new(),
        };
        let terms = told_to(&["ops"]);
        let mut expected: BTreeMap<&str, Vec<State>> = BTreeMap::new();
        for run in 0..RUNS {
            let table = TABLES[life.dice.below(2) as usize];
            let (verdict, state) = match life.dice.below(3) {
                0 => (Verdict::Equal, State::Ok),
                1 => (Verdict::Diverged, State::Diverged),
                _ => (Verdict::Stalled, State::Stalled),
            };
            // Far enough apart that nothing flaps.
            life.now_us += 3_600_000_000;
            let told = report(table, &format!("r{run}"), verdict, 3);
            let observation = Observation::of_table(told, life.now_us);
            for _ in 0..=life.dice.below(2) {
                let again = vec![observation.clone()];
                let taken = life.outbox.observe(again, terms.clone(), life.now_us);
                taken.await.expect("it is taken in");
            }
            let states = expected.entry(table).or_default();
            if states.last().copied().unwrap_or(State::Ok) != state {
                states.push(state);
            }
            for _ in 0..life.dice.below(4) {
                life.send().await;
            }
        }
        while life.send().await {}
        for (table, states) in expected {
            let mut heard = life.heard.remove(table).unwrap_or_default();
            let mut known: Vec<String> = Vec::new();
            for (id, _, may_have_come) in &heard {
                assert!(
                    !known.contains(id) || *may_have_come,
                    "seed {seed}: {table}: {id} came twice without a word"
                );
                known.push(id.clone());
            }
            heard.dedup_by(|one, other| one.0 == other.0);
            let heard: Vec<State> = heard.into_iter().map(|(_, state, _)| state).collect();
            assert_eq!(heard, states, "seed {seed}: {table}");
        }
    }
}
