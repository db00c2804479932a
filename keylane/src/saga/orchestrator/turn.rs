//! One turn: a batch of what has come in and of what is due is read, decided and written in one transaction.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use keylane_core::saga::{
    Batch, Change, Decision, Event, Found, Moment, ParkedAnswer, Plan, StoreError, Unsent, Written,
    shard_of, start,
};
use tokio::sync::oneshot;

use super::event::{Begun, Incoming, NotAsked, NotBegun};
use super::folding::{Folded, last_of_each_step};
use super::turner::{Besides, Ended, Leases, Turner};
use super::waiter::Waiter;
use crate::workers::stats::now_us;

/// What was decided of one saga.
struct Work {
    folded: Folded,
    plan: Arc<Plan>,
    waiters: Vec<Waiter>,
}

/// A turn in the making.
pub(super) struct Turn<'a> {
    turner: &'a Turner,
    leases: &'a Leases,
    works: HashMap<String, Work>,
    /// In the order in which they came: the same key may come twice.
    begins: Vec<(Incoming, Change)>,
    batch: Batch,
    /// Who waits for what is parked, or sent, and not for any saga.
    parked_for: Vec<Incoming>,
    ended: Ended,
}

impl<'a> Turn<'a> {
    pub(super) fn new(turner: &'a Turner, leases: &'a Leases) -> Self {
        Turn {
            turner,
            leases,
            works: HashMap::new(),
            begins: Vec::new(),
            batch: Batch::default(),
            parked_for: Vec::new(),
            ended: Ended::default(),
        }
    }

    /// Decides: first upon what had been parked, then upon what has come in, then upon what is due.
    pub(super) fn look_at(&mut self, mut found: Found, incoming: Vec<Incoming>, besides: &Besides) {
        self.take_up(&mut found);
        self.parked(std::mem::take(&mut found.parked));
        for one in incoming {
            self.take(one, &found);
        }
        self.due(besides);
    }

    fn moment(&self) -> Moment {
        Moment {
            now_us: now_us(),
            seed: rand::random(),
        }
    }

    fn take_up(&mut self, found: &mut Found) {
        for saga in std::mem::take(&mut found.sagas) {
            let Some(plan) = self.turner.plans.of_hash(saga.hash) else {
                tracing::error!(
                    saga = saga.id,
                    "KL-SAGA-203: its definition is not kept: it is not driven"
                );
                continue;
            };
            let work = Work {
                plan,
                waiters: Vec::new(),
                folded: Folded::of(saga),
            };
            self.works.insert(work.folded.before.id.clone(), work);
        }
    }

    fn parked(&mut self, parked: Vec<ParkedAnswer>) {
        let at = self.moment();
        for answer in parked {
            if let Some(work) = self.works.get_mut(&answer.saga) {
                let event = Event::Reply(answer.reply.clone());
                work.folded.take(&work.plan, event, at);
                self.batch.unpark.push(answer.saga.clone());
                // Nobody waits; but if the saga has changed meanwhile, it is decided upon again.
                let done = oneshot::channel().0;
                let incoming = Incoming::Heard { answer, done };
                work.waiters.push(Waiter::Heard(incoming));
            }
        }
    }

    fn take(&mut self, incoming: Incoming, found: &Found) {
        match incoming {
            Incoming::Sent {
                saga,
                reply,
                number,
            } => {
                self.batch.sent.push(number);
                self.answered(saga, reply, number);
            }
            Incoming::Heard { answer, done } => {
                let at = self.moment();
                let Some(work) = self.works.get_mut(&answer.saga) else {
                    if !found.ended.contains(&answer.saga) {
                        self.batch.park.push(answer.clone());
                    }
                    self.parked_for.push(Incoming::Heard { answer, done });
                    return;
                };
                let event = Event::Reply(answer.reply.clone());
                work.folded.take(&work.plan, event, at);
                let incoming = Incoming::Heard { answer, done };
                work.waiters.push(Waiter::Heard(incoming));
            }
            begin @ Incoming::Begin { .. } => self.begin(begin),
            ask @ Incoming::Ask { .. } => self.ask(ask, found),
        }
    }

    fn begin(&mut self, incoming: Incoming) {
        let Incoming::Begin {
            plan,
            start: wanted,
            request,
            done,
        } = incoming
        else {
            return;
        };
        match start(&plan, wanted.clone(), self.moment()) {
            Ok(decision) => {
                let change = self.change(plan.clone(), None, decision, request);
                let incoming = Incoming::Begin {
                    plan,
                    start: wanted,
                    request,
                    done,
                };
                self.begins.push((incoming, change));
            }
            Err(why) => drop(done.send(Err(NotBegun::Unfit(why.to_string())))),
        }
    }

    fn ask(&mut self, incoming: Incoming, found: &Found) {
        let at = self.moment();
        let Incoming::Ask {
            saga,
            operation,
            actor,
            reason,
            done,
        } = incoming
        else {
            return;
        };
        let Some(work) = self.works.get_mut(&saga) else {
            let why = match found.ended.contains(&saga) {
                true => NotAsked::Ended(saga),
                false => NotAsked::Unknown(saga),
            };
            let _ = done.send(Err(why));
            return;
        };
        let event = Event::Operation {
            operation: operation.clone(),
            actor: actor.clone(),
            reason: reason.clone(),
        };
        let noted = work.folded.take(&work.plan, event, at);
        let incoming = Incoming::Ask {
            saga,
            operation,
            actor,
            reason,
            done,
        };
        work.waiters.push(Waiter::Ask(incoming, noted));
    }

    /// An answer to what this process sent. Whose shard it is no more is not answered: the new owner asks again.
    fn answered(&mut self, saga: String, reply: Option<keylane_core::saga::Reply>, number: i64) {
        let Some(reply) = reply else {
            return;
        };
        if !self.leases.contains_key(&shard_of(&saga)) {
            self.turner.stats.fenced.add(1);
            return;
        }
        let at = self.moment();
        if let Some(work) = self.works.get_mut(&saga) {
            work.folded
                .take(&work.plan, Event::Reply(reply.clone()), at);
            let incoming = Incoming::Sent {
                saga,
                reply: Some(reply),
                number,
            };
            work.waiters.push(Waiter::Sent(incoming));
        }
    }

    /// After the answers: what they settled is not due. Only of what this process drives.
    fn due(&mut self, besides: &Besides) {
        let at = self.moment();
        for (id, work) in &mut self.works {
            if !self.leases.contains_key(&shard_of(id)) {
                continue;
            }
            for participant in &besides.back {
                let event = Event::Back(participant.clone());
                work.folded.take(&work.plan, event, at);
            }
            let next_us = work.folded.decision.saga.next_us();
            if besides.due && next_us.is_some_and(|at_us| at_us <= at.now_us) {
                work.folded.take(&work.plan, Event::Due, at);
            }
        }
    }

    fn change(
        &self,
        plan: Arc<Plan>,
        before: Option<keylane_core::saga::Saga>,
        mut decision: Decision,
        request: u64,
    ) -> Change {
        decision.commands = last_of_each_step(decision.commands);
        let lease = self.leases.get(&shard_of(&decision.saga.id)).copied();
        Change {
            plan,
            before,
            decision,
            request,
            lease,
        }
    }

    /// Writes, and tells who waits.
    pub(super) async fn write(mut self) -> Result<Ended, (Vec<Incoming>, StoreError)> {
        let works: Vec<Work> = self.works.drain().map(|(_, work)| work).collect();
        let (works, idle): (Vec<Work>, Vec<Work>) =
            works.into_iter().partition(|work| work.folded.has_news());
        let stats = &self.turner.stats;
        for work in works.iter().chain(&idle) {
            stats.ignored.add(work.folded.ignored);
        }
        for work in idle {
            work.waiters
                .into_iter()
                .for_each(|it| it.told(&work.folded.decision));
        }
        let mut changes = Vec::with_capacity(works.len() + self.begins.len());
        for work in &works {
            let folded = &work.folded;
            let decision = folded.decision.clone();
            changes.push(self.change(work.plan.clone(), Some(folded.before.clone()), decision, 0));
        }
        let mut begins = Vec::with_capacity(self.begins.len());
        for (incoming, change) in std::mem::take(&mut self.begins) {
            begins.push(incoming);
            changes.push(change);
        }
        self.batch.changes = changes;
        let is_empty = self.batch == Batch::default();
        let begun_us = now_us();
        let written = match is_empty {
            true => Ok(Vec::new()),
            false => self.turner.store.commit(&self.batch).await,
        };
        let written = match written {
            Ok(written) => written,
            Err(error) => return Err((self.unwritten(works, begins), error)),
        };
        if !is_empty {
            stats.committed(self.batch.changes.len() as u64, now_us() - begun_us);
        }
        self.tell(works, begins, written);
        self.ended.sent = self.batch.sent;
        Ok(self.ended)
    }

    /// Everything that had come in, for another turn.
    fn unwritten(self, works: Vec<Work>, begins: Vec<Incoming>) -> Vec<Incoming> {
        let waiters = works.into_iter().flat_map(|work| work.waiters);
        let mut all: Vec<Incoming> = waiters.map(Waiter::incoming).collect();
        let known: BTreeSet<i64> = all.iter().filter_map(number_of).collect();
        let more = self
            .batch
            .sent
            .into_iter()
            .filter(|number| !known.contains(number));
        all.extend(more.map(|number| Incoming::Sent {
            saga: String::new(),
            reply: None,
            number,
        }));
        all.extend(begins);
        all.extend(self.parked_for);
        all
    }

    fn tell(&mut self, works: Vec<Work>, begins: Vec<Incoming>, written: Vec<Written>) {
        self.turner.stats.parked.add(self.batch.park.len() as u64);
        for incoming in std::mem::take(&mut self.parked_for) {
            if let Incoming::Heard { done, .. } = incoming {
                let _ = done.send(Ok(()));
            }
        }
        let mut written = written.into_iter();
        let mut changes = std::mem::take(&mut self.batch.changes).into_iter();
        for work in works {
            let (Some(change), Some(came)) = (changes.next(), written.next()) else {
                break;
            };
            match came {
                Written::Done(numbers) => {
                    self.written(&change, numbers);
                    work.waiters
                        .into_iter()
                        .for_each(|it| it.told(&change.decision));
                }
                Written::Fenced => self.fenced(&change, work.waiters),
                Written::Stale | Written::Taken { .. } => {
                    self.turner.stats.stale.add(1);
                    let again = work.waiters.into_iter().map(Waiter::incoming);
                    self.ended.again.extend(again);
                }
            }
        }
        for incoming in begins {
            let (Some(change), Some(came)) = (changes.next(), written.next()) else {
                break;
            };
            self.begun(incoming, &change, came);
        }
    }

    fn fenced(&mut self, change: &Change, waiters: Vec<Waiter>) {
        self.turner.stats.fenced.add(1);
        self.ended.lost.insert(shard_of(&change.decision.saga.id));
        // What was sent by who owns the shard no more is its new owner's to ask.
        let again = waiters
            .into_iter()
            .filter(|it| !matches!(it, Waiter::Sent(_)));
        self.ended.again.extend(again.map(Waiter::incoming));
    }

    fn begun(&mut self, incoming: Incoming, change: &Change, came: Written) {
        let saga = &change.decision.saga;
        let Incoming::Begin { done, request, .. } = incoming else {
            return;
        };
        let answer = match came {
            Written::Done(numbers) => {
                self.written(change, numbers);
                Ok(Begun {
                    id: saga.id.clone(),
                    is_repeat: false,
                })
            }
            Written::Taken {
                id,
                request: before,
            } if before == request => Ok(Begun {
                is_repeat: id != saga.id,
                id,
            }),
            Written::Taken { id, .. } => Err(NotBegun::OtherContent {
                key: saga.key.clone().unwrap_or_default(),
                id,
            }),
            Written::Fenced => {
                self.ended.lost.insert(shard_of(&saga.id));
                let (plan, start) = (change.plan.clone(), start_of(saga));
                self.ended.again.push(Incoming::Begin {
                    plan,
                    start,
                    request,
                    done,
                });
                return;
            }
            Written::Stale => Err(NotBegun::Unfit(format!(
                "there is a saga {} already",
                saga.id
            ))),
        };
        let _ = done.send(answer);
    }

    /// What is written goes out, if this process drives it; else who does sends it.
    fn written(&mut self, change: &Change, numbers: Vec<i64>) {
        let decision = &change.decision;
        self.turner.stats.noted(decision);
        if change.lease.is_none() {
            return;
        }
        let commands = decision.commands.iter().cloned().zip(numbers);
        self.ended
            .unsent
            .extend(commands.map(|(command, number)| Unsent {
                number,
                definition: decision.saga.definition.clone(),
                version: decision.saga.version,
                hash: decision.saga.hash,
                command,
            }));
    }
}

fn start_of(saga: &keylane_core::saga::Saga) -> keylane_core::saga::Start {
    keylane_core::saga::Start {
        id: saga.id.clone(),
        key: saga.key.clone(),
        data: saga.data.clone(),
    }
}

fn number_of(incoming: &Incoming) -> Option<i64> {
    match incoming {
        Incoming::Sent { number, .. } => Some(*number),
        _ => None,
    }
}
