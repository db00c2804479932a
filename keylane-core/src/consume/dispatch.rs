//! Which record may be worked on now: as many side by side as are asked for, those of one key one after another, no partition starved by another.
//!
//! A record is appended to its key's queue, a queue whose head is free stands in its partition's line, older records before younger ones, and partitions take turns, more of them the farther they are
//! behind (stride scheduling: Waldspurger, Weihl 1995). Nothing is searched: a step costs the same however much waits, but for the partition whose turn it is, and of keys with several records the
//! one with the oldest, which are found in the logarithm of their number.

use std::cmp::Reverse;
use std::collections::binary_heap::PeekMut;
use std::collections::{BTreeMap, BinaryHeap, HashMap};

use crate::model::{Offset, OrderHash, TopicPartition};

use super::completed::Completed;
use part::{Back, Entry, Part, Standing};

/// What keeps its order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeepOrder {
    /// Records of one key, within their partition. Records without a key keep the partition's order among themselves; and so do two keys of one hash, which does no harm.
    #[default]
    Key,
    /// All records of a partition.
    Partition,
    /// Nothing: as many as are asked for go side by side.
    Unordered,
}

/// How many records are worked on together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Batch {
    /// Each for itself.
    #[default]
    Single,
    /// Up to so many of one key that follow each other, in their order.
    OfOneKey(usize),
    /// Up to so many of one partition, each of another key.
    OfDistinctKeys(usize),
}

/// A record that is being worked on; to be given back by [`Dispatch::done`] or [`Dispatch::again`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket {
    part: u32,
    queue: u32,
    /// Which of those that had the part's number.
    assignment: u64,
    offset: Offset,
}

impl Ticket {
    /// The number of its partition: see [`Dispatch::number`].
    pub fn part(&self) -> usize {
        self.part as usize
    }

    fn queue(&self) -> usize {
        self.queue as usize
    }
}

/// What is given to be worked on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given<T> {
    /// To be given back.
    pub ticket: Ticket,
    /// The record.
    pub record: T,
    /// How often it was tried before.
    pub attempts: u32,
}

/// A partition's state, for budgets and status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DispatchState {
    /// Which.
    pub partition: TopicPartition,
    /// Records waiting, pausing or being worked on.
    pub held: usize,
    /// The bytes of those that wait or are worked on. Records that pause after a failure are not counted: they would fill the buffer for ever, and nothing new would come.
    pub load_bytes: usize,
    /// The bytes of all.
    pub held_bytes: usize,
    /// Keys with records.
    pub keys: usize,
    /// Keys whose next record may be taken now.
    pub ready: usize,
    /// Everything below is done.
    pub frontier: Offset,
}

/// From one turn to the next of a partition that has no more than others.
const STRIDE_MAX: u64 = 1 << 20;

/// All records of the partitions that this process has.
#[derive(Debug)]
pub struct Dispatch<T> {
    order: KeepOrder,
    parts: Vec<Option<Part<T>>>,
    by_name: HashMap<TopicPartition, usize>,
    /// Partitions with a queue whose head is free, by when their turn is, and by when they came to stand here.
    line: BinaryHeap<Reverse<(u64, u64, usize)>>,
    /// How often one came to stand in line.
    stood: u64,
    /// When the last turn was: a partition that comes later has not saved up any.
    turn: u64,
    /// Queues that pause, by when they go on.
    pauses: BTreeMap<(u64, u64), (usize, usize)>,
    pause_number: u64,
    /// Partitions taken so far.
    assignments: u64,
    working: usize,
}

/// A partition that is held, to which records come.
#[derive(Debug)]
pub struct Incoming<'d, T> {
    dispatch: &'d mut Dispatch<T>,
    number: usize,
}

impl<T: Clone> Dispatch<T> {
    /// No partitions yet.
    pub fn new(order: KeepOrder) -> Self {
        Dispatch {
            order,
            parts: Vec::new(),
            by_name: HashMap::new(),
            line: BinaryHeap::new(),
            stood: 0,
            turn: 0,
            pauses: BTreeMap::new(),
            pause_number: 0,
            assignments: 0,
            working: 0,
        }
    }

    /// Takes a partition, from what is done there; one that is held already begins anew.
    pub fn assign(&mut self, partition: &TopicPartition, completed: Completed) {
        self.revoke(partition);
        self.assignments += 1;
        let free = self.parts.iter().position(Option::is_none);
        let number = free.unwrap_or(self.parts.len());
        if free.is_none() {
            self.parts.push(None);
        }
        let part = Part::new(partition.clone(), number, self.assignments, completed);
        if let Some(place) = self.parts.get_mut(number) {
            *place = Some(part);
        }
        self.by_name.insert(partition.clone(), number);
    }

    /// Says where partitions end in the log, as far as known. A partition's part of the turns is its part of all that is not done, here or in the log, but at least one of three times as many turns
    /// as there are partitions: so those that are behind catch up together, and nobody is left out. Before the first time all are alike.
    pub fn weigh(&mut self, ends: &[(TopicPartition, Offset)]) {
        let behind = |(partition, end): &(TopicPartition, Offset)| {
            let number = self.number(partition)?;
            let part = self.parts.get(number)?.as_ref()?;
            let to_come = end.0.saturating_sub(part.completed.end().0);
            Some((number, to_come.saturating_add(part.held as u64)))
        };
        let behind: Vec<(usize, u64)> = ends.iter().filter_map(behind).collect();
        let all: f64 = behind.iter().map(|(_, behind)| *behind as f64).sum();
        for (number, of_it) in &behind {
            let turns = 2.0 * behind.len() as f64 * *of_it as f64 / all.max(1.0);
            if let Some(part) = self.parts.get_mut(*number).and_then(Option::as_mut) {
                part.stride = (STRIDE_MAX as f64 / turns.max(1.0)) as u64;
            }
        }
    }

    /// The number of a partition that is held: small, its own, and given to another once it is given up.
    pub fn number(&self, partition: &TopicPartition) -> Option<usize> {
        self.by_name.get(partition).copied()
    }

    /// Gives a partition up. Tickets of its records are worth nothing any more.
    pub fn revoke(&mut self, partition: &TopicPartition) {
        let Some(number) = self.by_name.remove(partition) else {
            return;
        };
        self.pauses.retain(|_, (part, _)| *part != number);
        self.line.retain(|Reverse((_, _, other))| *other != number);
        if let Some(part) = self.parts.get_mut(number).and_then(Option::take) {
            self.working = self.working.saturating_sub(part.working);
        }
    }

    /// Gives nothing more of a partition, which is about to be given up; what is being worked on may end.
    pub fn leave(&mut self, partition: &TopicPartition) {
        let Some(number) = self.number(partition) else {
            return;
        };
        if let Some(part) = self.parts.get_mut(number).and_then(Option::as_mut) {
            part.leaving = true;
            part.in_line = false;
        }
        self.line.retain(|Reverse((_, _, other))| *other != number);
    }

    /// Records of a partition that are being worked on.
    pub fn working_in(&self, partition: &TopicPartition) -> usize {
        self.held(partition).map_or(0, |part| part.working)
    }

    /// A partition, for records that come; `None` if it is not held.
    pub fn incoming(&mut self, partition: &TopicPartition) -> Option<Incoming<'_, T>> {
        let number = self.number(partition)?;
        Some(Incoming {
            dispatch: self,
            number,
        })
    }

    /// The next record to work on, or `None` if no key's head is free.
    pub fn take(&mut self) -> Option<Given<T>> {
        let mut taken = None;
        self.take_batch(Batch::Single, |_, _| true, |given| taken = Some(given));
        taken
    }

    /// Gives the next records to work on together, in their order, and returns how many; none if no key's head is free. What failed before, in a batch or alone, comes alone. `joins` says of two
    /// records that follow each other in one queue whether they are of one key: not all are where a queue holds several keys.
    pub fn take_batch(
        &mut self,
        batch: Batch,
        joins: impl Fn(&T, &T) -> bool,
        give: impl FnMut(Given<T>),
    ) -> usize {
        let Some(mut first) = self.line.peek_mut() else {
            return 0;
        };
        let Reverse((turn, _, number)) = *first;
        self.turn = turn;
        let Some(part) = self.parts.get_mut(number).and_then(Option::as_mut) else {
            PeekMut::pop(first);
            return 0;
        };
        let taken = match batch {
            Batch::Single => part.take_of_one(1, joins, give),
            Batch::OfOneKey(most) => part.take_of_one(most, joins, give),
            Batch::OfDistinctKeys(most) => part.take_of_several(most, give),
        };
        self.working += taken;
        part.next_turn = turn.saturating_add(part.stride);
        part.in_line = part.is_ready();
        if part.in_line {
            self.stood += 1;
            *first = Reverse((part.next_turn, self.stood, number));
        } else {
            PeekMut::pop(first);
        }
        taken
    }

    /// The record of a ticket, while it is worked on.
    pub fn record(&self, ticket: Ticket) -> Option<&T> {
        let part = self.parts.get(ticket.part())?.as_ref()?;
        let queue = part.queues.get(ticket.queue())?;
        let head = queue.entries.front()?;
        let is_its = part.assignment == ticket.assignment
            && queue.standing == Standing::Working
            && head.offset == ticket.offset;
        is_its.then_some(&head.record)
    }

    /// A record is done. Those of a batch are done in their order.
    pub fn done(&mut self, ticket: Ticket) {
        let Some(part) = self.part_of(ticket) else {
            return;
        };
        let Some(entry) = part.pop(ticket.queue()) else {
            return;
        };
        part.completed.done(entry.offset);
        part.load_bytes = part.load_bytes.saturating_sub(entry.size_bytes);
        part.working = part.working.saturating_sub(1);
        self.working = self.working.saturating_sub(1);
        self.stand_in_line(ticket.part());
    }

    /// A record failed and is to be tried again, not before `at_ms`. Its key waits for it.
    pub fn again(&mut self, ticket: Ticket, at_ms: u64) {
        self.give_back(&[ticket], Back::Again(at_ms));
    }

    /// Records could not be tried, and are to be not before `at_ms`: as [`Dispatch::again`], but it counts as no attempt.
    pub fn later(&mut self, tickets: &[Ticket], at_ms: u64) {
        self.give_back(tickets, Back::Later(at_ms));
    }

    /// A batch failed, and nobody knows by which record: each is worked on alone, at once. It counts as no attempt.
    pub fn apart(&mut self, tickets: &[Ticket]) {
        self.give_back(tickets, Back::Apart);
    }

    fn give_back(&mut self, tickets: &[Ticket], back: Back) {
        for ticket in tickets {
            let Some(part) = self.parts.get_mut(ticket.part()).and_then(Option::as_mut) else {
                continue;
            };
            let Some(is_last) = part.give_back(*ticket, back) else {
                continue;
            };
            self.working = self.working.saturating_sub(1);
            if !is_last {
                continue;
            }
            match back {
                Back::Apart => self.stand_in_line(ticket.part()),
                Back::Again(at_ms) | Back::Later(at_ms) => {
                    self.pause_number += 1;
                    self.pauses
                        .insert((at_ms, self.pause_number), (ticket.part(), ticket.queue()));
                }
            }
        }
    }

    /// Ends pauses that are over. Returns when the next one is.
    pub fn tick(&mut self, now_ms: u64) -> Option<u64> {
        while let Some(pause) = self.pauses.first_entry() {
            let (at_ms, _) = *pause.key();
            if at_ms > now_ms {
                return Some(at_ms);
            }
            let (number, queue) = pause.remove();
            let Some(part) = self.parts.get_mut(number).and_then(Option::as_mut) else {
                continue;
            };
            part.resume(queue);
            self.stand_in_line(number);
        }
        None
    }

    /// Records being worked on.
    pub fn working(&self) -> usize {
        self.working
    }

    /// Whether nothing waits, pauses or is being worked on.
    pub fn is_drained(&self) -> bool {
        self.parts.iter().flatten().all(|part| part.held == 0)
    }

    /// What is done in a partition.
    pub fn completed(&self, partition: &TopicPartition) -> Option<&Completed> {
        Some(&self.held(partition)?.completed)
    }

    /// Each partition's state.
    pub fn partitions(&self) -> Vec<DispatchState> {
        let state = |part: &Part<T>| DispatchState {
            partition: part.partition.clone(),
            held: part.held,
            load_bytes: part.load_bytes,
            held_bytes: part.held_bytes,
            keys: part.queues.len() - part.free.len(),
            ready: part.ready(),
            frontier: part.completed.frontier(),
        };
        self.parts.iter().flatten().map(state).collect()
    }

    /// A ticket's partition, if it is held still, and the record at its queue's head is the ticket's.
    fn part_of(&mut self, ticket: Ticket) -> Option<&mut Part<T>> {
        self.record(ticket)?;
        self.parts.get_mut(ticket.part())?.as_mut()
    }

    fn held(&self, partition: &TopicPartition) -> Option<&Part<T>> {
        self.parts.get(self.number(partition)?)?.as_ref()
    }

    fn stand_in_line(&mut self, number: usize) {
        if let Some(part) = self.parts.get_mut(number).and_then(Option::as_mut)
            && !part.in_line
            && !part.leaving
            && part.is_ready()
        {
            part.in_line = true;
            self.stood += 1;
            let turn = part.next_turn.max(self.turn);
            self.line.push(Reverse((turn, self.stood, number)));
        }
    }
}

impl<T: Clone> Incoming<'_, T> {
    /// A record, in offset order. Returns whether it is to be worked on: not if it is done.
    pub fn offer(
        &mut self,
        offset: Offset,
        order: Option<OrderHash>,
        size_bytes: usize,
        record: T,
    ) -> bool {
        let keep = self.dispatch.order;
        let Some(part) = self.part() else {
            return false;
        };
        if !part.completed.receive(offset) {
            return false;
        }
        let entry = Entry {
            offset,
            size_bytes,
            attempts: 0,
            alone: false,
            record,
        };
        let queue = part.queue_for(keep, order);
        part.append(queue, entry);
        self.dispatch.stand_in_line(self.number);
        true
    }

    /// A record, in offset order, of which somebody else knows that it is done.
    pub fn pass(&mut self, offset: Offset) {
        if let Some(part) = self.part() {
            part.completed.receive(offset);
            part.completed.done(offset);
        }
    }

    fn part(&mut self) -> Option<&mut Part<T>> {
        self.dispatch.parts.get_mut(self.number)?.as_mut()
    }
}

mod part;
#[cfg(test)]
mod tests;
