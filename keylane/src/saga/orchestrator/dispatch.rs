//! Commands on their way, participant by participant: each has a queue, so many commands at a time, and a breaker of its own, so that one that is down or slow holds up no other.
//!
//! What finds no room, or whose participant is left in peace, stays in the outbox and is taken from there later.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keylane_core::saga::wire::CommandMessage;
use keylane_core::saga::{Breaker, May, Outcome, Participant, Pulse, Reply, Unsent};
use tokio::sync::Notify;

use super::http::{Attempt, HttpChannel, HttpRequest, not_answered};
use super::inbox::Door;
use super::kafka::KafkaChannel;
use super::settings::{Address, OrchestratorSettings, ParticipantSettings};
use super::stats::{OrchestratorStats, ParticipantFigures};
use crate::workers::stats::now_us;

/// Commands to one participant that wait in memory.
const QUEUE_MAX: usize = 512;
/// Bytes of all commands in memory.
const BYTES_MAX: usize = 64 << 20;

/// A command in memory.
struct Outbound {
    number: i64,
    message: CommandMessage,
    participant: Participant,
    body: Vec<u8>,
    answer_max: Duration,
}

#[derive(Default)]
struct Lane {
    queue: VecDeque<Outbound>,
    running: usize,
    breaker: Breaker,
}

#[derive(Default)]
struct State {
    lanes: HashMap<String, Lane>,
    /// Numbers of the outbox whose commands are in memory, or went out and are not deleted yet.
    held: HashSet<i64>,
    /// Numbers that have left the outbox since it was last read: who read it before may still have them.
    left: HashSet<i64>,
    bytes: usize,
    backs: Vec<Participant>,
    is_stopping: bool,
}

/// Sends commands.
pub(super) struct Dispatcher {
    settings: OrchestratorSettings,
    http: HttpChannel,
    kafka: Option<KafkaChannel>,
    door: Door,
    stats: Arc<OrchestratorStats>,
    state: Mutex<State>,
    /// A queue is half empty.
    room: Notify,
}

impl Dispatcher {
    /// # Errors
    /// In words, if TLS cannot be set up.
    pub fn new(
        settings: OrchestratorSettings,
        door: Door,
        stats: Arc<OrchestratorStats>,
    ) -> Result<Arc<Self>, String> {
        Ok(Arc::new(Dispatcher {
            http: HttpChannel::new()?,
            kafka: settings.kafka.clone().map(KafkaChannel::new),
            settings,
            door,
            stats,
            state: Mutex::default(),
            room: Notify::new(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a command of the outbox, if there is room and its participant is not left in peace. One that it has already is taken as that.
    pub fn offer(self: &Arc<Self>, unsent: Unsent, answer_max: Duration) -> bool {
        let name = unsent.command.participant.name().to_owned();
        let message = CommandMessage::of(
            &unsent.command,
            &unsent.definition,
            unsent.version,
            &self.settings.source,
        );
        let body = message.body().to_string().into_bytes();
        let mut state = self.state();
        if state.held.contains(&unsent.number) || state.left.contains(&unsent.number) {
            return true;
        }
        if state.is_stopping {
            return false;
        }
        let State {
            lanes, held, bytes, ..
        } = &mut *state;
        let lane = lanes.entry(name.clone()).or_default();
        let size = body.len();
        let outbound = Outbound {
            number: unsent.number,
            participant: unsent.command.participant,
            body,
            answer_max,
            message,
        };
        let own = &outbound.message;
        let is_same =
            |it: &&mut Outbound| it.message.saga == own.saga && it.message.step == own.step;
        if let Some(earlier) = lane.queue.iter_mut().find(is_same) {
            // As in the outbox, a later command to a step takes the place of one that has not gone out.
            *bytes = *bytes + size - earlier.body.len();
            held.remove(&earlier.number);
            held.insert(outbound.number);
            *earlier = outbound;
            return true;
        }
        let has_room =
            lane.queue.len() < QUEUE_MAX && (*bytes + size <= BYTES_MAX || lane.queue.is_empty());
        if !has_room || lane.breaker.is_shut(now_us()) {
            return false;
        }
        *bytes += size;
        held.insert(outbound.number);
        lane.queue.push_back(outbound);
        drop(state);
        self.pump(&name);
        true
    }

    /// Participants that take nothing at the moment.
    pub fn shut(&self) -> Vec<String> {
        let now_us = now_us();
        let state = self.state();
        let is_shut = |lane: &Lane| lane.queue.len() >= QUEUE_MAX || lane.breaker.is_shut(now_us);
        let lanes = state.lanes.iter().filter(|(_, lane)| is_shut(lane));
        lanes.map(|(name, _)| name.clone()).collect()
    }

    /// Waits until a participant's queue has become half empty.
    pub async fn has_room(&self) {
        self.room.notified().await;
    }

    /// How many numbers of the outbox it holds.
    pub fn holds(&self) -> usize {
        self.state().held.len()
    }

    /// The outbox is about to be read: what leaves it from now on may be among what is read.
    pub fn reads_outbox(&self) {
        self.state().left.clear();
    }

    /// These have left the outbox.
    pub fn deleted(&self, numbers: &[i64]) {
        let mut state = self.state();
        for number in numbers {
            state.held.remove(number);
        }
        state.left.extend(numbers);
    }

    /// Participants that answer again since this was asked last.
    pub fn take_backs(&self) -> Vec<Participant> {
        std::mem::take(&mut self.state().backs)
    }

    /// Begins nothing more. What waits stays in the outbox.
    pub fn stop(&self) {
        let mut state = self.state();
        state.is_stopping = true;
        for lane in state.lanes.values_mut() {
            lane.queue.clear();
        }
    }

    /// Commands on their way.
    pub fn running(&self) -> usize {
        self.state().lanes.values().map(|lane| lane.running).sum()
    }

    /// Figures of each participant, by name.
    pub fn figures(&self) -> Vec<ParticipantFigures> {
        let state = self.state();
        let figures = state.lanes.iter().map(|(name, lane)| ParticipantFigures {
            name: name.clone(),
            waiting: lane.queue.len(),
            running: lane.running,
            is_open: lane.breaker.is_open(),
        });
        let mut figures: Vec<ParticipantFigures> = figures.collect();
        figures.sort_by(|a, b| a.name.cmp(&b.name));
        figures
    }

    fn known(&self, name: &str) -> Option<&ParticipantSettings> {
        self.settings.participants.get(name)
    }

    /// So many commands may be on their way to a participant. A topic takes whatever is written to it, and the participant takes from there as much as it will.
    fn at_once(&self, participant: &Participant) -> usize {
        let known = self.known(participant.name());
        match (participant, known.map(|it| &it.address)) {
            (Participant::Kafka { .. }, _) | (_, Some(Address::Kafka { .. })) => QUEUE_MAX,
            _ => known.map_or(self.settings.concurrency, |it| it.concurrency),
        }
    }

    /// Begins as many commands to a participant as may be.
    fn pump(self: &Arc<Self>, name: &str) {
        loop {
            let mut state = self.state();
            let Some(lane) = state.lanes.get_mut(name) else {
                return;
            };
            let first = lane.queue.front();
            if first.is_none_or(|first| lane.running >= self.at_once(&first.participant)) {
                return;
            }
            if lane.breaker.may(now_us()) == May::Wait {
                // They are in the outbox; the probe is on its way.
                let left: Vec<Outbound> = lane.queue.drain(..).collect();
                for outbound in left {
                    state.bytes -= outbound.body.len();
                    state.held.remove(&outbound.number);
                }
                return;
            }
            let Some(outbound) = lane.queue.pop_front() else {
                return;
            };
            lane.running += 1;
            if lane.queue.len() == QUEUE_MAX / 2 {
                self.room.notify_one();
            }
            state.bytes -= outbound.body.len();
            drop(state);
            self.stats.sent.add(1);
            self.stats.in_flight.add(1);
            tokio::spawn(self.clone().send(name.to_owned(), outbound));
        }
    }

    async fn send(self: Arc<Self>, name: String, outbound: Outbound) {
        let Outbound {
            number,
            message,
            participant,
            body,
            answer_max,
        } = outbound;
        let (saga, step, op) = (message.saga.clone(), message.step.clone(), message.op);
        let attempt = self.attempt(&participant, message, body, answer_max).await;
        self.stats.in_flight.take_off(1);
        self.heard(&name, participant, attempt.as_ref().map(|it| it.is_alive));
        let outcome = attempt.map_or_else(|why| Some(Outcome::Unclear(why)), |it| it.outcome);
        if matches!(outcome, Some(Outcome::Unclear(_))) {
            self.stats.unclear.add(1);
        }
        let reply = outcome.map(|outcome| Reply { step, op, outcome });
        self.door.sent(saga, reply, number).await;
        self.pump(&name);
    }

    /// What an attempt tells of its participant; nothing, if it could not even be made.
    fn heard(&self, name: &str, participant: Participant, is_alive: Result<bool, &String>) {
        let mut state = self.state();
        let Some(lane) = state.lanes.get_mut(name) else {
            return;
        };
        lane.running -= 1;
        let pulse = match is_alive {
            Ok(true) => lane.breaker.answered(),
            Ok(false) => lane.breaker.failed(self.settings.breaker, now_us()),
            Err(_) => {
                lane.breaker.given_up();
                Pulse::Same
            }
        };
        match pulse {
            Pulse::Same => {}
            Pulse::Back => {
                tracing::info!(participant = shown_name(name), "answers again");
                state.backs.push(participant);
            }
            Pulse::Gone => tracing::warn!(
                participant = shown_name(name),
                "KL-SAGA-202: does not answer: it is left in peace and tried now and then; its sagas wait, others go on"
            ),
        }
    }

    /// One attempt; an error says why it cannot even be made.
    async fn attempt(
        &self,
        participant: &Participant,
        mut message: CommandMessage,
        body: Vec<u8>,
        answer_max: Duration,
    ) -> Result<Attempt, String> {
        let (url, token) = match participant {
            Participant::Http { url } => (url.as_str(), None),
            Participant::Kafka { topic } => {
                return self.by_topic(topic, message, body, answer_max).await;
            }
            Participant::Named(name) => match self.known(name).map(|it| &it.address) {
                Some(Address::Http { url, token }) => (url.as_str(), token.as_deref()),
                Some(Address::Kafka { topic }) => {
                    return self.by_topic(topic, message, body, answer_max).await;
                }
                None => {
                    return Err(format!(
                        "participant {name} has no address: add it to saga.participants"
                    ));
                }
            },
        };
        let reply_url = self.settings.reply_url.as_ref();
        message.reply_to = reply_url.map(|url| url.replace("{id}", &path_segment(&message.saga)));
        let request = HttpRequest {
            url,
            token,
            op: message.op,
            id: &message.id(),
            attributes: &message.attributes(),
            body,
            answer_max,
        };
        Ok(self.http.send(request).await)
    }

    async fn by_topic(
        &self,
        topic: &str,
        mut message: CommandMessage,
        body: Vec<u8>,
        answer_max: Duration,
    ) -> Result<Attempt, String> {
        let Some(kafka) = &self.kafka else {
            return Err(format!(
                "topic {topic}: no cluster is configured to send commands by (log.kafka, saga.reply_topic)"
            ));
        };
        message.reply_to = Some(kafka.reply_topic().to_owned());
        let sent = kafka.send(topic, &message, body);
        Ok(match tokio::time::timeout(answer_max, sent).await {
            Ok(Ok(())) => Attempt {
                outcome: None,
                is_alive: true,
            },
            Ok(Err(why)) => not_answered(why),
            Err(_) => not_answered(format!(
                "topic {topic}: not written within {}",
                humantime::format_duration(answer_max)
            )),
        })
    }
}

/// A participant's name as people are shown it: an address without what may be a secret in it.
pub fn shown_name(name: &str) -> String {
    match url::Url::parse(name) {
        Ok(mut url) if url.has_host() => {
            url.set_query(None);
            url.set_fragment(None);
            url.to_string()
        }
        _ => name.to_owned(),
    }
}

/// An id as a part of a path.
fn path_segment(id: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    id.bytes()
        .fold(String::with_capacity(id.len()), |mut to, byte| {
            match keep(byte) {
                true => to.push(char::from(byte)),
                false => to.push_str(&format!("%{byte:02X}")),
            }
            to
        })
}
