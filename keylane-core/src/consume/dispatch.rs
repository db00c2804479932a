//! Which record may be worked on now: as many side by side as are asked for, those of one key one after another, no partition starved by another.
//!
//! Every step costs the same however much waits: a record is appended to its key's queue, a queue whose head is free stands in its partition's line, and partitions
//! take turns. Nothing is searched.

use std::collections::{BTreeMap, HashMap, VecDeque};

use bytes::Bytes;

use crate::model::{Offset, TopicPartition};

use super::completed::Completed;

/// What keeps its order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeepOrder {
    /// Records of one key, within their partition. Records without a key keep the partition's order among themselves.
    #[default]
    Key,
    /// All records of a partition.
    Partition,
    /// Nothing: as many as are asked for go side by side.
    Unordered,
}

/// A record that is being worked on; to be given back by [`Dispatch::done`] or [`Dispatch::again`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket {
    part: usize,
    queue: usize,
    offset: Offset,
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
    /// Everything below is done.
    pub frontier: Offset,
}

/// All records of the partitions that this process has.
#[derive(Debug)]
pub struct Dispatch<T> {
    order: KeepOrder,
    parts: Vec<Option<Part<T>>>,
    by_name: HashMap<TopicPartition, usize>,
    /// Partitions with a queue whose head is free.
    line: VecDeque<usize>,
    /// Queues that pause, by when they go on.
    pauses: BTreeMap<(u64, u64), (usize, usize)>,
    pause_number: u64,
    working: usize,
}

#[derive(Debug)]
struct Part<T> {
    partition: TopicPartition,
    completed: Completed,
    queues: Vec<Queue<T>>,
    /// Places of `queues` that are free.
    free: Vec<usize>,
    by_key: HashMap<Option<Bytes>, usize>,
    line: VecDeque<usize>,
    in_line: bool,
    /// Nothing more is given.
    leaving: bool,
    working: usize,
    held: usize,
    load_bytes: usize,
    held_bytes: usize,
}

#[derive(Debug)]
struct Queue<T> {
    key: Option<Bytes>,
    entries: VecDeque<Entry<T>>,
    standing: Standing,
}

/// What becomes of a queue's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It may be taken, if there is one.
    Free,
    Working,
    Pausing,
}

#[derive(Debug)]
struct Entry<T> {
    offset: Offset,
    size_bytes: usize,
    attempts: u32,
    record: T,
}

impl<T: Clone> Dispatch<T> {
    /// No partitions yet.
    pub fn new(order: KeepOrder) -> Self {
        Dispatch {
            order,
            parts: Vec::new(),
            by_name: HashMap::new(),
            line: VecDeque::new(),
            pauses: BTreeMap::new(),
            pause_number: 0,
            working: 0,
        }
    }

    /// Takes a partition, from what is done there; one that is held already begins anew.
    pub fn assign(&mut self, partition: &TopicPartition, completed: Completed) {
        self.revoke(partition);
        let part = Part {
            partition: partition.clone(),
            completed,
            queues: Vec::new(),
            free: Vec::new(),
            by_key: HashMap::new(),
            line: VecDeque::new(),
            in_line: false,
            leaving: false,
            working: 0,
            held: 0,
            load_bytes: 0,
            held_bytes: 0,
        };
        let number = self.parts.len();
        self.parts.push(Some(part));
        self.by_name.insert(partition.clone(), number);
    }

    /// Gives a partition up. Tickets of its records are worth nothing any more.
    pub fn revoke(&mut self, partition: &TopicPartition) {
        let Some(number) = self.by_name.remove(partition) else {
            return;
        };
        self.pauses.retain(|_, (part, _)| *part != number);
        self.line.retain(|part| *part != number);
        if let Some(part) = self.parts.get_mut(number).and_then(Option::take) {
            self.working = self.working.saturating_sub(part.working);
        }
    }

    /// Gives nothing more of a partition, which is about to be given up; what is being worked on may end.
    pub fn leave(&mut self, partition: &TopicPartition) {
        let Some(number) = self.by_name.get(partition).copied() else {
            return;
        };
        if let Some(part) = self.parts.get_mut(number).and_then(Option::as_mut) {
            part.leaving = true;
            part.in_line = false;
        }
        self.line.retain(|other| *other != number);
    }

    /// Records of a partition that are being worked on.
    pub fn working_in(&self, partition: &TopicPartition) -> usize {
        let part = self
            .by_name
            .get(partition)
            .and_then(|number| self.parts.get(*number)?.as_ref());
        part.map_or(0, |part| part.working)
    }

    /// A record, in offset order. Returns whether it is to be worked on: not if it is done, or the partition is not held.
    pub fn offer(
        &mut self,
        partition: &TopicPartition,
        offset: Offset,
        key: Option<Bytes>,
        size_bytes: usize,
        record: T,
    ) -> bool {
        let Some(number) = self.by_name.get(partition).copied() else {
            return false;
        };
        let Some(part) = self.parts.get_mut(number).and_then(Option::as_mut) else {
            return false;
        };
        if !part.completed.receive(offset) {
            return false;
        }
        let entry = Entry {
            offset,
            size_bytes,
            attempts: 0,
            record,
        };
        let queue = part.queue_for(self.order, key);
        part.append(queue, entry);
        self.stand_in_line(number);
        true
    }

    /// A record, in offset order, of which somebody else knows that it is done.
    pub fn pass(&mut self, partition: &TopicPartition, offset: Offset) {
        let number = self.by_name.get(partition).copied();
        let part = number.and_then(|number| self.parts.get_mut(number)?.as_mut());
        if let Some(part) = part {
            part.completed.receive(offset);
            part.completed.done(offset);
        }
    }

    /// The next record to work on, or `None` if no key's head is free.
    pub fn take(&mut self) -> Option<Given<T>> {
        let number = self.line.pop_front()?;
        let part = self.parts.get_mut(number)?.as_mut()?;
        let queue = part.line.pop_front();
        part.in_line = !part.line.is_empty();
        if part.in_line {
            self.line.push_back(number);
        }
        let queue = queue?;
        let it = part.queues.get_mut(queue)?;
        it.standing = Standing::Working;
        let head = it.entries.front()?;
        part.working += 1;
        self.working += 1;
        Some(Given {
            ticket: Ticket {
                part: number,
                queue,
                offset: head.offset,
            },
            record: head.record.clone(),
            attempts: head.attempts,
        })
    }

    /// The record of a ticket, while it is worked on.
    pub fn record(&self, ticket: Ticket) -> Option<&T> {
        let part = self.parts.get(ticket.part)?.as_ref()?;
        let queue = part.queues.get(ticket.queue)?;
        let head = queue.entries.front()?;
        let is_its = queue.standing == Standing::Working && head.offset == ticket.offset;
        is_its.then_some(&head.record)
    }

    /// A record is done.
    pub fn done(&mut self, ticket: Ticket) {
        let Some(part) = self.part_of(ticket) else {
            return;
        };
        let Some(entry) = part.pop(ticket.queue) else {
            return;
        };
        part.completed.done(entry.offset);
        part.load_bytes = part.load_bytes.saturating_sub(entry.size_bytes);
        part.working = part.working.saturating_sub(1);
        self.working = self.working.saturating_sub(1);
        self.stand_in_line(ticket.part);
    }

    /// A record failed and is to be tried again, not before `at_ms`. Its key waits for it.
    pub fn again(&mut self, ticket: Ticket, at_ms: u64) {
        self.put_off(ticket, at_ms, 1);
    }

    /// A record could not be tried, and is to be not before `at_ms`: as [`Dispatch::again`], but it counts as no attempt.
    pub fn later(&mut self, ticket: Ticket, at_ms: u64) {
        self.put_off(ticket, at_ms, 0);
    }

    fn put_off(&mut self, ticket: Ticket, at_ms: u64, attempts: u32) {
        let Some(part) = self.part_of(ticket) else {
            return;
        };
        if let Some(queue) = part.queues.get_mut(ticket.queue)
            && let Some(head) = queue.entries.front_mut()
        {
            queue.standing = Standing::Pausing;
            head.attempts = head.attempts.saturating_add(attempts);
            part.load_bytes = part.load_bytes.saturating_sub(head.size_bytes);
        }
        part.working = part.working.saturating_sub(1);
        self.working = self.working.saturating_sub(1);
        self.pause_number += 1;
        self.pauses
            .insert((at_ms, self.pause_number), (ticket.part, ticket.queue));
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
        let number = *self.by_name.get(partition)?;
        let part = self.parts.get(number)?.as_ref()?;
        Some(&part.completed)
    }

    /// Each partition's state.
    pub fn partitions(&self) -> Vec<DispatchState> {
        let state = |part: &Part<T>| DispatchState {
            partition: part.partition.clone(),
            held: part.held,
            load_bytes: part.load_bytes,
            held_bytes: part.held_bytes,
            keys: part.queues.len() - part.free.len(),
            frontier: part.completed.frontier(),
        };
        self.parts.iter().flatten().map(state).collect()
    }

    /// A ticket's partition, if it is held still, and the record at its queue's head is the ticket's.
    fn part_of(&mut self, ticket: Ticket) -> Option<&mut Part<T>> {
        self.record(ticket)?;
        self.parts.get_mut(ticket.part)?.as_mut()
    }

    fn stand_in_line(&mut self, number: usize) {
        if let Some(part) = self.parts.get_mut(number).and_then(Option::as_mut)
            && !part.in_line
            && !part.leaving
            && !part.line.is_empty()
        {
            part.in_line = true;
            self.line.push_back(number);
        }
    }
}

impl<T> Part<T> {
    fn queue_for(&mut self, order: KeepOrder, key: Option<Bytes>) -> usize {
        let key = match order {
            KeepOrder::Key => key,
            KeepOrder::Partition => None,
            KeepOrder::Unordered => return self.new_queue(None),
        };
        if let Some(queue) = self.by_key.get(&key) {
            return *queue;
        }
        let queue = self.new_queue(key.clone());
        self.by_key.insert(key, queue);
        queue
    }

    fn new_queue(&mut self, key: Option<Bytes>) -> usize {
        if let Some(free) = self.free.pop() {
            if let Some(queue) = self.queues.get_mut(free) {
                queue.key = key;
            }
            return free;
        }
        self.queues.push(Queue {
            key,
            entries: VecDeque::new(),
            standing: Standing::Free,
        });
        self.queues.len() - 1
    }

    fn append(&mut self, number: usize, entry: Entry<T>) {
        self.held += 1;
        self.load_bytes += entry.size_bytes;
        self.held_bytes += entry.size_bytes;
        if let Some(queue) = self.queues.get_mut(number) {
            queue.entries.push_back(entry);
            if queue.standing == Standing::Free && queue.entries.len() == 1 {
                self.line.push_back(number);
            }
        }
    }

    /// Takes the head of a queue that is being worked on; the next one is free.
    fn pop(&mut self, number: usize) -> Option<Entry<T>> {
        let queue = self.queues.get_mut(number)?;
        let entry = queue.entries.pop_front()?;
        queue.standing = Standing::Free;
        self.held = self.held.saturating_sub(1);
        self.held_bytes = self.held_bytes.saturating_sub(entry.size_bytes);
        if queue.entries.is_empty() {
            let key = queue.key.take();
            // Of an unordered one there is no entry, or another's.
            if self.by_key.get(&key) == Some(&number) {
                self.by_key.remove(&key);
            }
            self.free.push(number);
        } else {
            self.line.push_back(number);
        }
        Some(entry)
    }

    /// The head may be tried again.
    fn resume(&mut self, number: usize) {
        if let Some(queue) = self.queues.get_mut(number)
            && let Some(head) = queue.entries.front()
        {
            queue.standing = Standing::Free;
            self.load_bytes += head.size_bytes;
            self.line.push_back(number);
        }
    }
}

#[cfg(test)]
mod tests;
