//! One partition's queues.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

use foldhash::fast::RandomState;

use crate::consume::completed::Completed;
use crate::model::{Offset, OrderHash, TopicPartition};

use super::{Given, KeepOrder, STRIDE_MAX, Ticket};

#[derive(Debug)]
pub(super) struct Part<T> {
    pub(super) partition: TopicPartition,
    /// Where it is among all parts.
    number: usize,
    /// What no other has had.
    pub(super) assignment: u64,
    pub(super) completed: Completed,
    pub(super) queues: Vec<Queue<T>>,
    /// Places of `queues` that are free.
    pub(super) free: Vec<usize>,
    by_order: HashMap<Option<OrderHash>, usize, RandomState>,
    /// Queues whose head is free, in turn: it is the first of its key, or waited for another attempt.
    line: VecDeque<usize>,
    /// Queues whose head is free because the record before it is done, by the head's offset. These come before younger ones in the line: a key that many records are of would else get one turn in as
    /// many as there are keys, and be at work alone when all others are done.
    follow: BinaryHeap<Reverse<(Offset, usize)>>,
    pub(super) in_line: bool,
    /// From one turn to the next: the shorter, the more it has.
    pub(super) stride: u64,
    /// When the next one is, at the earliest.
    pub(super) next_turn: u64,
    /// Nothing more is given.
    pub(super) leaving: bool,
    pub(super) working: usize,
    pub(super) held: usize,
    pub(super) load_bytes: usize,
    pub(super) held_bytes: usize,
}

#[derive(Debug)]
pub(super) struct Queue<T> {
    order: Option<OrderHash>,
    pub(super) entries: VecDeque<Entry<T>>,
    pub(super) standing: Standing,
    /// So many of the first are being worked on.
    pub(super) taken: usize,
}

/// What becomes of a queue's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It may be taken, if there is one.
    Free,
    Working,
    Pausing,
}

#[derive(Debug)]
pub(super) struct Entry<T> {
    pub(super) offset: Offset,
    pub(super) size_bytes: usize,
    pub(super) attempts: u32,
    /// It was in a batch that failed.
    pub(super) alone: bool,
    pub(super) record: T,
}

/// What becomes of records that are given back undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Back {
    /// A failed attempt: again after a pause.
    Again(u64),
    /// No attempt: again after a pause.
    Later(u64),
    /// At once, each for itself.
    Apart,
}

impl<T> Entry<T> {
    /// Whether it is worked on alone: it failed before, in a batch or by itself.
    fn is_alone(&self) -> bool {
        self.alone || self.attempts > 0
    }
}

impl<T> Part<T> {
    /// From what is done there.
    pub(super) fn new(
        partition: TopicPartition,
        number: usize,
        assignment: u64,
        completed: Completed,
    ) -> Self {
        Part {
            partition,
            number,
            assignment,
            completed,
            queues: Vec::new(),
            free: Vec::new(),
            by_order: HashMap::default(),
            line: VecDeque::new(),
            follow: BinaryHeap::new(),
            in_line: false,
            stride: STRIDE_MAX,
            next_turn: 0,
            leaving: false,
            working: 0,
            held: 0,
            load_bytes: 0,
            held_bytes: 0,
        }
    }

    pub(super) fn queue_for(&mut self, keep: KeepOrder, order: Option<OrderHash>) -> usize {
        let order = match keep {
            KeepOrder::Key => order,
            KeepOrder::Partition => None,
            KeepOrder::Unordered => return self.new_queue(None),
        };
        if let Some(queue) = self.by_order.get(&order) {
            return *queue;
        }
        let queue = self.new_queue(order);
        self.by_order.insert(order, queue);
        queue
    }

    fn new_queue(&mut self, order: Option<OrderHash>) -> usize {
        if let Some(free) = self.free.pop() {
            if let Some(queue) = self.queues.get_mut(free) {
                queue.order = order;
            }
            return free;
        }
        self.queues.push(Queue {
            order,
            entries: VecDeque::new(),
            standing: Standing::Free,
            taken: 0,
        });
        self.queues.len() - 1
    }

    pub(super) fn append(&mut self, number: usize, entry: Entry<T>) {
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

    /// Queues whose head is free.
    pub(super) fn ready(&self) -> usize {
        self.line.len() + self.follow.len()
    }

    /// Whether a queue's head is free.
    pub(super) fn is_ready(&self) -> bool {
        self.ready() > 0
    }

    /// The queue whose turn it is.
    fn turn(&self) -> Option<usize> {
        let waits = self.line.front().copied();
        let Some(Reverse((offset, follows))) = self.follow.peek().copied() else {
            return waits;
        };
        let head = waits.and_then(|queue| self.queues.get(queue)?.entries.front());
        match head {
            Some(head) if head.offset < offset => waits,
            _ => Some(follows),
        }
    }

    /// As [`Part::turn`]; it stands in line no more.
    fn take_turn(&mut self) -> Option<usize> {
        let queue = self.turn()?;
        if self.line.front() == Some(&queue) {
            self.line.pop_front();
        } else {
            self.follow.pop();
        }
        Some(queue)
    }

    /// Heads of queues in line, each of another queue; one that is to be alone comes alone.
    pub(super) fn take_of_several(&mut self, most: usize, mut give: impl FnMut(Given<T>)) -> usize
    where
        T: Clone,
    {
        let mut taken = 0;
        while taken < most.max(1)
            && let Some(queue) = self.turn()
        {
            let head = self.queues.get(queue).and_then(|it| it.entries.front());
            let alone = head.is_some_and(Entry::is_alone);
            if alone && taken > 0 {
                break;
            }
            taken += self.take_of_one(1, |_, _| false, &mut give);
            if alone {
                break;
            }
        }
        taken
    }

    /// The head of the first queue in line, and what joins it.
    pub(super) fn take_of_one(
        &mut self,
        most: usize,
        joins: impl Fn(&T, &T) -> bool,
        mut give: impl FnMut(Given<T>),
    ) -> usize
    where
        T: Clone,
    {
        let Some(number) = self.take_turn() else {
            return 0;
        };
        let Some(queue) = self.queues.get_mut(number) else {
            return 0;
        };
        let mut last: Option<&Entry<T>> = None;
        let mut taken = 0;
        for entry in queue.entries.iter().take(most.max(1)) {
            if let Some(last) = last
                && (last.is_alone() || entry.is_alone() || !joins(&last.record, &entry.record))
            {
                break;
            }
            give(Given {
                ticket: Ticket {
                    part: self.number as u32,
                    queue: number as u32,
                    assignment: self.assignment,
                    offset: entry.offset,
                },
                record: entry.record.clone(),
                attempts: entry.attempts,
            });
            last = Some(entry);
            taken += 1;
        }
        if taken > 0 {
            queue.standing = Standing::Working;
            queue.taken = taken;
            self.working += taken;
        }
        taken
    }

    /// Gives one record of a ticket back undone. Returns whether it was the last of its queue that was worked on; `None` if the ticket is worth nothing.
    pub(super) fn give_back(&mut self, ticket: Ticket, back: Back) -> Option<bool> {
        let queue = self.queues.get_mut(ticket.queue())?;
        let is_its = self.assignment == ticket.assignment;
        if !is_its || queue.standing != Standing::Working || queue.taken == 0 {
            return None;
        }
        let place = queue
            .entries
            .binary_search_by_key(&ticket.offset, |it| it.offset);
        let entry = queue.entries.get_mut(place.ok()?)?;
        match back {
            Back::Again(_) => entry.attempts = entry.attempts.saturating_add(1),
            Back::Later(_) => {}
            Back::Apart => entry.alone = true,
        }
        queue.taken -= 1;
        self.working = self.working.saturating_sub(1);
        if queue.taken > 0 {
            return Some(false);
        }
        if back == Back::Apart {
            queue.standing = Standing::Free;
            self.line.push_back(ticket.queue());
        } else {
            queue.standing = Standing::Pausing;
            let head_bytes = queue.entries.front().map_or(0, |head| head.size_bytes);
            self.load_bytes = self.load_bytes.saturating_sub(head_bytes);
        }
        Some(true)
    }

    /// Takes the head of a queue that is being worked on; the next one is free once no other is.
    pub(super) fn pop(&mut self, number: usize) -> Option<Entry<T>> {
        let queue = self.queues.get_mut(number)?;
        let entry = queue.entries.pop_front()?;
        queue.taken = queue.taken.saturating_sub(1);
        self.held = self.held.saturating_sub(1);
        self.held_bytes = self.held_bytes.saturating_sub(entry.size_bytes);
        if queue.taken > 0 {
            return Some(entry);
        }
        queue.standing = Standing::Free;
        let Some(next) = queue.entries.front() else {
            // Unordered queues are found by nothing, and there is none to remove.
            self.by_order.remove(&queue.order);
            self.free.push(number);
            return Some(entry);
        };
        self.follow.push(Reverse((next.offset, number)));
        Some(entry)
    }

    /// The head may be tried again.
    pub(super) fn resume(&mut self, number: usize) {
        if let Some(queue) = self.queues.get_mut(number)
            && let Some(head) = queue.entries.front()
        {
            queue.standing = Standing::Free;
            self.load_bytes += head.size_bytes;
            self.line.push_back(number);
        }
    }
}
