//! How much is taken in, and of which partitions: bounded in bytes, and no partition shut out by another.
//!
//! A partition may hold as much as is free of the buffer (dynamic thresholds: Choudhury, Hahne 1998): one that is busy alone gets half of it, two a third each, and some is always left for
//! whoever comes next. Equal parts would leave most of the buffer to partitions that are quiet.

use crate::model::TopicPartition;

use super::dispatch::DispatchState;

/// What may be held.
#[derive(Clone, Copy, Debug)]
pub struct Buffer {
    /// Bytes, of all partitions together.
    pub bytes: usize,
    /// A partition that has so many keys whose next record may be worked on gets no more: what waits longer than it must only leaves the processor's caches before its turn comes.
    pub ready_enough: usize,
}

impl Buffer {
    /// What each partition may hold whatever the others do, in bytes.
    pub const PARTITION_MIN: usize = 16 * 1024;
    /// A partition gets more when this part of what it may hold is free (hysteresis).
    const FREE_PART: usize = 4;
    /// Taken in at a time, in bytes, so that what is on its way is little.
    const AT_ONCE: usize = 16 * 1024;
    /// The same where fewer than [`Buffer::READY_FEW`] keys may go on: most of it waits for its key in any case, and the log's client, whose queue is smaller, can fetch again the sooner.
    const AT_ONCE_OF_FEW: usize = 64 * 1024;
    const READY_FEW: usize = 8;
    /// Records that pause after a failure do not count as load, but their memory does: a partition may hold so many equal parts of the buffer at most.
    const PAUSING_PARTS: usize = 4;

    /// Partitions with room, and how many bytes may be taken in of each now.
    pub fn room(&self, states: Vec<DispatchState>) -> Vec<(TopicPartition, usize)> {
        let part = (self.bytes / states.len().max(1)).max(Self::PARTITION_MIN);
        let load: usize = states.iter().map(|state| state.load_bytes).sum();
        let free = self.bytes.saturating_sub(load);
        let mut left = free;
        let room = |state: DispatchState| {
            let own = Self::PARTITION_MIN.saturating_sub(state.load_bytes);
            let may_come = free.saturating_sub(state.load_bytes).max(own);
            let at_once = match state.ready < Self::READY_FEW {
                true => Self::AT_ONCE_OF_FEW,
                false => Self::AT_ONCE,
            };
            let is_wanted = state.ready < self.ready_enough
                && state.held_bytes < Self::PAUSING_PARTS * part
                && may_come >= (state.load_bytes + may_come) / Self::FREE_PART;
            let taken = may_come.min(at_once).min(left.max(own));
            if !is_wanted || taken == 0 {
                return None;
            }
            left = left.saturating_sub(taken);
            Some((state.partition, taken))
        };
        states.into_iter().filter_map(room).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Offset;

    const BUFFER: Buffer = Buffer {
        bytes: 8 << 20,
        ready_enough: 64,
    };

    fn state(number: u32, load_bytes: usize, ready: usize) -> DispatchState {
        DispatchState {
            partition: TopicPartition::new("t", number),
            held: 0,
            load_bytes,
            held_bytes: load_bytes,
            keys: ready,
            ready,
            frontier: Offset(0),
        }
    }

    /// Takes in whatever there is room for, of partitions whose numbers `busy` names, until there is none. Returns what each holds then.
    fn filled(partitions: u32, busy: impl Fn(u32) -> bool) -> Vec<usize> {
        let mut loads = vec![0; partitions as usize];
        loop {
            let states = (0..).zip(&loads).map(|(it, load)| state(it, *load, 1));
            let room = BUFFER.room(states.collect());
            let mut came = false;
            for (partition, bytes) in room {
                if busy(partition.partition) {
                    loads[partition.partition as usize] += bytes;
                    came = true;
                }
            }
            if !came {
                return loads;
            }
        }
    }

    #[test]
    fn one_busy_partition_gets_nearly_half_and_several_get_the_same() {
        let alone = filled(8, |it| it == 3)[3];
        assert!(
            (BUFFER.bytes / 3..=BUFFER.bytes / 2 + Buffer::AT_ONCE_OF_FEW).contains(&alone),
            "{alone}"
        );
        let all = filled(8, |_| true);
        let (least, most) = (all.iter().min(), all.iter().max());
        let least = *least.expect("partitions");
        let most = *most.expect("partitions");
        assert!(least >= BUFFER.bytes / 16, "{all:?}");
        assert!(most - least <= Buffer::AT_ONCE_OF_FEW, "{all:?}");
    }

    #[test]
    fn however_many_there_are_no_more_is_held_than_the_buffer_and_each_ones_least() {
        for partitions in [1, 2, 7, 100, 1000] {
            let held: usize = filled(partitions, |_| true).iter().sum();
            let least = partitions as usize * Buffer::PARTITION_MIN;
            assert!(held <= BUFFER.bytes + least, "{partitions}: {held}");
        }
    }

    #[test]
    fn a_full_buffer_leaves_each_partition_its_least() {
        let room = BUFFER.room(vec![state(0, BUFFER.bytes, 1), state(1, 0, 0)]);
        assert_eq!(room, [(TopicPartition::new("t", 1), Buffer::PARTITION_MIN)]);
    }

    #[test]
    fn a_partition_that_was_full_gets_more_when_a_quarter_is_free_and_not_before() {
        let gets = |load| !BUFFER.room(vec![state(0, load, 1)]).is_empty();
        assert!(!gets(BUFFER.bytes / 2));
        assert!(!gets(BUFFER.bytes / 2 - 1000));
        assert!(gets(BUFFER.bytes / 8 * 3));
    }

    #[test]
    fn where_enough_may_begin_nothing_more_comes_and_where_few_may_much_at_once() {
        let at_once = |ready| BUFFER.room(vec![state(0, 0, ready)]).pop().map(|it| it.1);
        assert_eq!(at_once(64), None);
        assert_eq!(at_once(63), Some(Buffer::AT_ONCE));
        assert_eq!(at_once(1), Some(Buffer::AT_ONCE_OF_FEW));
    }

    #[test]
    fn what_pauses_is_bounded_too() {
        let paused = |held_bytes| DispatchState {
            held_bytes,
            ..state(0, 0, 1)
        };
        let with = |held_bytes| BUFFER.room(vec![paused(held_bytes), state(1, 0, 1)]).len();
        assert_eq!(with(BUFFER.bytes), 2);
        assert_eq!(with(2 * BUFFER.bytes), 1);
    }
}
