//! Rows that differ and wait to be looked at again.

use keylane_core::reconcile::Key;

/// Rows that are looked at together at most.
const AT_ONCE: usize = 5000;
/// Bytes of them, as both sides sent them; one row may have more.
const BYTES: usize = 8 << 20;

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

    /// Whether they are as many, or as large, as are looked at together.
    pub fn is_full(&self) -> bool {
        self.seen.len() >= AT_ONCE || self.bytes >= BYTES
    }

    /// All that wait, as they are looked at together.
    pub fn take(&mut self) -> Vec<Vec<Seen>> {
        self.bytes = 0;
        let mut all: Vec<Vec<Seen>> = Vec::new();
        let mut bytes = 0;
        for seen in self.seen.drain(..) {
            bytes += seen.bytes;
            match all.last_mut() {
                Some(some) if some.len() < AT_ONCE && bytes <= BYTES => some.push(seen),
                _ => {
                    bytes = seen.bytes;
                    all.push(vec![seen]);
                }
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sizes: &[usize], full: bool, expect: &[usize]) {
        let seen = |bytes: &usize| Seen {
            key: Vec::new(),
            at_us: 0,
            bytes: *bytes,
        };
        let mut suspects = Suspects::default();
        suspects.extend(sizes.iter().map(seen).collect());
        assert_eq!(suspects.is_full(), full);
        let lengths: Vec<usize> = suspects.take().iter().map(Vec::len).collect();
        assert_eq!(lengths, expect);
        assert!(suspects.is_empty() && !suspects.is_full());
    }

    #[test]
    fn no_look_has_more_rows_or_bytes_than_may_be_held() {
        check(&[], false, &[]);
        check(&[1, 1, 1], false, &[3]);
        check(&[BYTES / 2, BYTES / 2, BYTES / 2], true, &[2, 1]);
        check(&[1, BYTES + 1, 1], true, &[1, 1, 1]);
        check(&[1; 2 * AT_ONCE + 1], true, &[AT_ONCE, AT_ONCE, 1]);
    }
}
