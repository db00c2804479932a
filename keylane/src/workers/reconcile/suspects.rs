//! Rows that differ and wait to be looked at again.

use keylane_core::reconcile::Key;

/// Rows that are looked at together at most: both sides' are held.
pub(super) const AT_ONCE: usize = 5000;
/// Bytes of them, as both sides sent them; one row may have more.
const AT_ONCE_BYTES: usize = 8 << 20;
/// Rows that wait at most: their keys are held.
const WAITING: usize = 50_000;
/// Bytes of rows of which the keys are held.
const WAITING_BYTES: usize = 32 << 20;

/// A row that differs.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Its key.
    pub key: Key,
    /// When it was seen, microseconds since 1970.
    pub at_us: i64,
    /// The bytes of both sides' rows.
    pub bytes: usize,
}

/// Those that wait.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    seen: Vec<Seen>,
    bytes: usize,
}

impl Suspects {
    pub fn extend(&mut self, seen: Vec<Seen>) {
        self.bytes += seen.iter().map(|it| it.bytes).sum::<usize>();
        self.seen.extend(seen);
    }

    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    /// Whether no more may wait.
    pub fn is_full(&self) -> bool {
        self.seen.len() >= WAITING || self.bytes >= WAITING_BYTES
    }

    /// All that wait.
    pub fn take(&mut self) -> Vec<Seen> {
        self.bytes = 0;
        std::mem::take(&mut self.seen)
    }
}

/// As they are looked at together.
pub(super) fn batches(all: Vec<Seen>) -> Vec<Vec<Seen>> {
    let mut batches: Vec<Vec<Seen>> = Vec::new();
    let mut bytes = 0;
    for seen in all {
        bytes += seen.bytes;
        match batches.last_mut() {
            Some(batch) if batch.len() < AT_ONCE && bytes <= AT_ONCE_BYTES => batch.push(seen),
            _ => {
                bytes = seen.bytes;
                batches.push(vec![seen]);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(sizes: &[usize]) -> Vec<Seen> {
        let seen = |bytes: &usize| Seen {
            key: Vec::new(),
            at_us: 0,
            bytes: *bytes,
        };
        sizes.iter().map(seen).collect()
    }

    fn check(sizes: &[usize], expect: &[usize]) {
        let batches = batches(seen(sizes));
        let lengths: Vec<usize> = batches.iter().map(Vec::len).collect();
        assert_eq!(lengths, expect);
    }

    #[test]
    fn no_look_has_more_rows_or_bytes_than_may_be_held() {
        check(&[], &[]);
        check(&[1, 1, 1], &[3]);
        let half = AT_ONCE_BYTES / 2;
        check(&[half, half, half], &[2, 1]);
        check(&[1, AT_ONCE_BYTES + 1, 1], &[1, 1, 1]);
        check(&[1; 2 * AT_ONCE + 1], &[AT_ONCE, AT_ONCE, 1]);
    }

    #[test]
    fn no_more_wait_than_may_be_held() {
        let is_full = |sizes: &[usize]| {
            let mut suspects = Suspects::default();
            suspects.extend(seen(sizes));
            let is_full = suspects.is_full();
            assert_eq!(suspects.take().len(), sizes.len());
            assert!(suspects.is_empty() && !suspects.is_full());
            is_full
        };
        assert!(!is_full(&[1; WAITING - 1]) && is_full(&[1; WAITING]));
        assert!(!is_full(&[WAITING_BYTES - 1]) && is_full(&[1, WAITING_BYTES - 1]));
    }
}
