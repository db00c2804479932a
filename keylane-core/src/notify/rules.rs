//! Rules: when a figure of a pipeline is worth a message. A look at the figures becomes observations, which [`step`](super::step) judges.

use std::sync::Arc;

use super::growth::Growth;
use super::message::{Detail, LagFound, ParkedFound, RoadFound, SagasFound, SlotFound};
use super::state::State;
use super::step::Observation;
use super::subject::{Half, Subject, What};

/// The replica is too far behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LagRule {
    /// From this lag on.
    pub above_ms: u64,
    /// For so long.
    pub hold_ms: u64,
}

/// The origin's disk is full soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotRule {
    /// When less time than this is left.
    pub full_within_ms: u64,
    /// For so long.
    pub hold_ms: u64,
    /// What of its disk the origin has for what it keeps, if it was said.
    pub disk_bytes: Option<u64>,
}

/// Keys are parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParkedRule {
    /// From so many on.
    pub keys: u64,
    /// For so long.
    pub hold_ms: u64,
}

/// Half of the road does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StuckRule {
    /// For so long. A half that ended with an error is told at once.
    pub hold_ms: u64,
}

/// Sagas need help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SagasRule {
    /// From so many on.
    pub sagas: u64,
    /// For so long.
    pub hold_ms: u64,
}

impl SagasRule {
    /// What a look at the sagas comes to: those that are stuck, by definition.
    pub fn look(self, mut definitions: Vec<(String, u64)>, at_us: i64) -> Observation {
        /// Definitions that are named at most.
        const NAMED_MAX: usize = 5;
        let sagas = definitions.iter().map(|(_, sagas)| sagas).sum();
        definitions.sort_by(|a, b| (b.1, &a.0).cmp(&(a.1, &b.0)));
        definitions.truncate(NAMED_MAX);
        Observation {
            subject: Subject {
                pipeline: None,
                what: What::Sagas,
            },
            state: Some(judged(sagas >= self.sagas, State::Stuck)),
            run: None,
            at_us,
            hold_ms: self.hold_ms,
            detail: Detail::Sagas(SagasFound {
                sagas,
                bound: self.sagas,
                definitions,
            }),
        }
    }
}

/// The rules of one pipeline; one that is `None` is not looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// The lag.
    pub lag: Option<LagRule>,
    /// The slot's disk.
    pub slot: Option<SlotRule>,
    /// Parked keys.
    pub parked: Option<ParkedRule>,
    /// The road.
    pub stuck: Option<StuckRule>,
}

/// Half of a road, as it was last seen on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HalfLook {
    /// Whether its process is there.
    pub is_alive: bool,
    /// Its state in the status's word.
    pub state: String,
    /// Why it is not doing better.
    pub why: String,
    /// Whether it waits for another process to let go: a standby.
    pub stands_by: bool,
    /// A count that grows while it does its work.
    pub done: u64,
    /// Whether it has work that it knows of.
    pub has_work: bool,
}

/// A pipeline at a moment. Unknown is `None`, and nothing is said of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// When, microseconds since 1970.
    pub at_us: i64,
    /// How old the oldest change is that the replica lacks.
    pub lag_ms: Option<u64>,
    /// Records that the replica lacks.
    pub lag_changes: Option<u64>,
    /// What the origin keeps.
    pub retained_bytes: Option<u64>,
    /// What may come before the origin gives the slot up, if it has such a bound.
    pub safe_bytes: Option<u64>,
    /// Parked keys.
    pub parked: Option<u64>,
    /// Capturing, if it was begun on this machine and not asked to stop.
    pub capture: Option<HalfLook>,
    /// Applying, likewise.
    pub apply: Option<HalfLook>,
}

/// Watches one pipeline. What it remembers of earlier looks is lost with the process, and found again within minutes.
#[derive(Debug)]
pub struct Watch {
    pipeline: Arc<str>,
    rules: Rules,
    growth: Growth,
    capture: Progress,
    apply: Progress,
}

/// When a half last got on.
#[derive(Debug, Default)]
struct Progress {
    done: Option<u64>,
    since_us: i64,
}

impl Watch {
    /// Has seen nothing yet.
    pub fn new(pipeline: &str, rules: Rules) -> Watch {
        Watch {
            pipeline: pipeline.into(),
            rules,
            growth: Growth::default(),
            capture: Progress::default(),
            apply: Progress::default(),
        }
    }

    /// What a look comes to.
    pub fn look(&mut self, look: &Look) -> Vec<Observation> {
        let road = self.roads(look);
        [self.lag(look), self.slot(look), self.parked(look)]
            .into_iter()
            .flatten()
            .chain(road)
            .collect()
    }

    fn observation(
        &self,
        look: &Look,
        what: What,
        (state, hold_ms): (State, u64),
        detail: Detail,
    ) -> Observation {
        Observation {
            subject: Subject {
                pipeline: Some(self.pipeline.clone()),
                what,
            },
            state: Some(state),
            run: None,
            at_us: look.at_us,
            hold_ms,
            detail,
        }
    }

    fn lag(&self, look: &Look) -> Option<Observation> {
        let (rule, lag_ms) = (self.rules.lag?, look.lag_ms?);
        let found = LagFound {
            lag_ms,
            bound_ms: rule.above_ms,
            changes: look.lag_changes,
        };
        let state = judged(lag_ms >= rule.above_ms, State::Lagging);
        let told = (state, rule.hold_ms);
        Some(self.observation(look, What::Lag, told, Detail::Lag(found)))
    }

    fn slot(&mut self, look: &Look) -> Option<Observation> {
        let (rule, retained_bytes) = (self.rules.slot?, look.retained_bytes?);
        self.growth.note(look.at_us, retained_bytes);
        let on_disk = rule
            .disk_bytes
            .map(|disk| disk.saturating_sub(retained_bytes));
        let room_bytes = [on_disk, look.safe_bytes].into_iter().flatten().min()?;
        let grows_bytes_per_s = self.growth.per_s();
        let full_in_ms = match (room_bytes, grows_bytes_per_s) {
            (0, _) => Some(0),
            (_, None | Some(0)) => None,
            (room, Some(rate)) => Some((room / rate).saturating_mul(1000)),
        };
        let found = SlotFound {
            retained_bytes,
            room_bytes,
            grows_bytes_per_s: grows_bytes_per_s.unwrap_or(0),
            full_in_ms,
            bound_ms: rule.full_within_ms,
        };
        let is_bad = full_in_ms.is_some_and(|left| left < rule.full_within_ms);
        if !is_bad && grows_bytes_per_s.is_none() {
            // Too early to say that it does not fill.
            return None;
        }
        let told = (judged(is_bad, State::Filling), rule.hold_ms);
        Some(self.observation(look, What::Slot, told, Detail::Slot(found)))
    }

    fn parked(&self, look: &Look) -> Option<Observation> {
        let (rule, keys) = (self.rules.parked?, look.parked?);
        let bound = rule.keys;
        let told = (judged(keys >= bound, State::Parked), rule.hold_ms);
        let found = Detail::Parked(ParkedFound { keys, bound });
        Some(self.observation(look, What::Parked, told, found))
    }

    fn roads(&mut self, look: &Look) -> Vec<Observation> {
        let Some(rule) = self.rules.stuck else {
            return Vec::new();
        };
        let halves = [
            (Half::Capture, look.capture.as_ref(), &mut self.capture),
            (Half::Apply, look.apply.as_ref(), &mut self.apply),
        ];
        let mut judged = Vec::new();
        for (half, found, progress) in halves {
            match found {
                Some(found) => judged.push((half, road(half, found, progress, look.at_us, rule))),
                None => *progress = Progress::default(),
            }
        }
        judged
            .into_iter()
            .map(|(half, (told, found))| {
                self.observation(look, What::Road(half), told, Detail::Road(found))
            })
            .collect()
    }
}

fn judged(is_bad: bool, bad: State) -> State {
    if is_bad { bad } else { State::Ok }
}

/// Its state and how long that must hold, with the words.
fn road(
    half: Half,
    look: &HalfLook,
    progress: &mut Progress,
    now_us: i64,
    rule: StuckRule,
) -> ((State, u64), RoadFound) {
    if progress.done != Some(look.done) || !look.has_work || !look.is_alive {
        *progress = Progress {
            done: Some(look.done),
            since_us: now_us,
        };
    }
    let still_ms = u64::try_from((now_us - progress.since_us) / 1000).unwrap_or(0);
    let mut why = look.why.clone();
    let told = match (look.is_alive, look.state.as_str()) {
        // Its last word is an error: it does not come back by itself.
        (_, "stopped") => (State::Stuck, 0),
        (false, _) => {
            "its process is gone or does not answer".clone_into(&mut why);
            (State::Stuck, rule.hold_ms)
        }
        (true, "starting" | "degraded" | "") if !look.stands_by => (State::Stuck, rule.hold_ms),
        (true, _) if still_ms > 0 && still_ms >= rule.hold_ms => {
            why = format!(
                "there is work, and nothing was done for {} s",
                still_ms / 1000
            );
            // It has held already.
            (State::Stuck, 0)
        }
        (true, _) => (State::Ok, rule.hold_ms),
    };
    super::report::cut(&mut why);
    let found = RoadFound {
        half,
        state: look.state.clone(),
        why,
    };
    (told, found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_US: i64 = 1_000_000;
    const GIB: u64 = 1 << 30;

    fn rules() -> Rules {
        Rules {
            lag: Some(LagRule {
                above_ms: 60_000,
                hold_ms: 1,
            }),
            slot: Some(SlotRule {
                full_within_ms: 4 * 3_600_000,
                hold_ms: 2,
                disk_bytes: Some(100 * GIB),
            }),
            parked: Some(ParkedRule {
                keys: 2,
                hold_ms: 3,
            }),
            stuck: Some(StuckRule { hold_ms: 30_000 }),
        }
    }

    fn states(observations: &[Observation]) -> Vec<(&'static str, State, u64)> {
        let of = |one: &Observation| {
            let state = one.state.expect("a rule always judges");
            (one.subject.what.kind(), state, one.hold_ms)
        };
        observations.iter().map(of).collect()
    }

    #[test]
    fn what_is_unknown_is_not_judged() {
        let mut watch = Watch::new("shop", rules());
        assert_eq!(watch.look(&Look::default()), Vec::new());
        let mut silent = Watch::new("shop", Rules::default());
        let look = Look {
            lag_ms: Some(u64::MAX),
            parked: Some(9),
            retained_bytes: Some(u64::MAX),
            ..Look::default()
        };
        assert_eq!(silent.look(&look), Vec::new());
    }

    #[test]
    fn lag_and_parked_keys_are_judged_by_their_bounds() {
        let mut watch = Watch::new("shop", rules());
        let mut check = |lag_ms, parked, expect: [State; 2]| {
            let look = Look {
                lag_ms: Some(lag_ms),
                parked: Some(parked),
                ..Look::default()
            };
            let [lag, parked] = expect;
            let expect = [("lag", lag, 1), ("parked", parked, 3)];
            assert_eq!(states(&watch.look(&look)), expect);
        };
        check(59_999, 1, [State::Ok, State::Ok]);
        check(60_000, 2, [State::Lagging, State::Parked]);
    }

    /// A slot that keeps `per_s` more bytes each second, from `from` on, looked at for 12 minutes.
    fn slot(from: u64, per_s: u64, safe_bytes: Option<u64>) -> Option<(State, SlotFound)> {
        let mut watch = Watch::new("shop", rules());
        let mut last = None;
        for ten in 0..72 {
            let look = Look {
                at_us: ten * 10 * SECOND_US,
                retained_bytes: Some(from + u64::try_from(ten).unwrap_or(0) * 10 * per_s),
                safe_bytes,
                ..Look::default()
            };
            last = watch.look(&look).pop();
        }
        let last = last?;
        let Detail::Slot(found) = last.detail else {
            unreachable!("{last:?}");
        };
        Some((last.state?, found))
    }

    #[test]
    fn the_time_until_a_disk_is_full_is_foreseen_from_how_fast_it_fills() {
        let (state, found) = slot(10 * GIB, 10 << 20, None).expect("it is judged");
        assert_eq!(state, State::Filling);
        let hours = found.full_in_ms.expect("it fills") as f64 / 3_600_000.0;
        assert!((2.2..2.6).contains(&hours), "{hours} h: {found:?}");
        let (state, found) = slot(10 * GIB, 1 << 20, None).expect("it is judged");
        assert_eq!(state, State::Ok, "{found:?}");
        let (state, found) = slot(10 * GIB, 0, None).expect("it is judged");
        assert_eq!((state, found.full_in_ms), (State::Ok, None));
        // The server gives the slot up before the disk is full.
        let (state, found) = slot(10 * GIB, 1 << 20, Some(GIB)).expect("it is judged");
        assert_eq!((state, found.room_bytes), (State::Filling, GIB));
        let (state, _) = slot(200 * GIB, 0, None).expect("it is judged");
        assert_eq!(state, State::Filling, "it is full");
    }

    fn half(state: &str, done: u64, has_work: bool) -> HalfLook {
        HalfLook {
            is_alive: true,
            state: state.to_owned(),
            why: "KL-APPLY-001".to_owned(),
            stands_by: false,
            done,
            has_work,
        }
    }

    #[test]
    fn a_half_is_stuck_when_it_is_degraded_gone_ended_or_gets_nothing_done() {
        let mut watch = Watch::new("shop", rules());
        let mut check = |second: i64, apply: HalfLook, expect: (State, u64)| {
            let look = Look {
                at_us: second * SECOND_US,
                apply: Some(apply),
                ..Look::default()
            };
            let (state, hold_ms) = expect;
            let expect = [("apply", state, hold_ms)];
            assert_eq!(states(&watch.look(&look)), expect, "second {second}");
        };
        check(0, half("streaming", 5, true), (State::Ok, 30_000));
        check(29, half("streaming", 5, true), (State::Ok, 30_000));
        check(30, half("streaming", 5, true), (State::Stuck, 0));
        check(40, half("streaming", 6, true), (State::Ok, 30_000));
        check(80, half("caught_up", 6, false), (State::Ok, 30_000));
        check(90, half("degraded", 6, true), (State::Stuck, 30_000));
        check(91, half("starting", 6, true), (State::Stuck, 30_000));
        check(92, half("stopped", 6, true), (State::Stuck, 0));
        let gone = HalfLook {
            is_alive: false,
            ..half("streaming", 6, false)
        };
        check(93, gone, (State::Stuck, 30_000));
        let standby = HalfLook {
            stands_by: true,
            ..half("degraded", 6, false)
        };
        check(94, standby, (State::Ok, 30_000));
    }
}
