//! Seeded chance: the only source of anything random in a run.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// A stream of random choices, the same for the same seed and label.
#[derive(Clone, Debug)]
pub struct Chance(SmallRng);

impl Chance {
    /// A stream of its own for each label, so that more choices in one part do not move another part's.
    pub fn new(seed: u64, label: u64) -> Self {
        Chance(SmallRng::seed_from_u64(
            seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ label.wrapping_mul(0xd1b5_4a32_d192_ed03),
        ))
    }

    /// True in so many of a hundred.
    pub fn percent(&mut self, of_hundred: u32) -> bool {
        self.0.random_range(0..100) < of_hundred
    }

    /// A number below `end` (0 if `end` is 0).
    pub fn below(&mut self, end: usize) -> usize {
        if end == 0 {
            return 0;
        }
        self.0.random_range(0..end)
    }

    /// A number in `low..=high`.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        self.0.random_range(low..=high)
    }

    /// A number in 0..=1.
    pub fn unit(&mut self) -> f64 {
        self.0.random_range(0.0..=1.0)
    }

    /// One of these; `None` of nothing.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len()))
    }
}
