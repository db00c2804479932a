//! How many rows are read at once: as many as take about a given time, within bounds of rows and bytes.

use std::time::Duration;

/// The size of the next reads, from how long those before took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChunkSize {
    rows: usize,
    target: Duration,
}

/// Rows at first, before anything is known.
const FIRST_ROWS: usize = 4096;
const ROWS_MIN: usize = 256;
const ROWS_MAX: usize = 65_536;
/// How much a size changes at once.
const CHANGE_MAX: f64 = 2.0;

impl ChunkSize {
    /// Reads that take about so long.
    pub fn new(target: Duration) -> Self {
        ChunkSize {
            rows: FIRST_ROWS,
            target,
        }
    }

    /// Rows to ask for.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// So many rows of so many bytes took so long; of more bytes no more is taken at once, and what is read beyond them is read in vain.
    pub fn took(&mut self, (rows, bytes): (usize, usize), bytes_max: usize, time: Duration) {
        if rows == 0 || bytes == 0 {
            return;
        }
        let fitting = bytes_max / bytes.div_ceil(rows).max(1);
        // What was cut short by the table's end tells little of the time.
        if rows * 2 >= self.rows && !time.is_zero() {
            let fits = self.target.as_secs_f64() / time.as_secs_f64();
            let factor = fits.clamp(1.0 / CHANGE_MAX, CHANGE_MAX);
            self.rows = (self.rows as f64 * factor).round() as usize;
        }
        self.rows = self.rows.min(fitting).clamp(ROWS_MIN, ROWS_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_come_to_take_the_time_that_is_wanted_and_stay_within_bounds() {
        let ms = Duration::from_millis;
        let mut size = ChunkSize::new(ms(100));
        for _ in 0..20 {
            // 10 us a row.
            let took = Duration::from_micros(10 * size.rows() as u64);
            size.took((size.rows(), 1), usize::MAX, took);
        }
        assert_eq!(size.rows(), 10_000);
        for _ in 0..20 {
            size.took((size.rows(), 1), usize::MAX, ms(1));
        }
        assert_eq!(size.rows(), ROWS_MAX);
        for _ in 0..20 {
            size.took((size.rows(), 1), usize::MAX, ms(10_000));
        }
        assert_eq!(size.rows(), ROWS_MIN);
        size.took((1, 1), usize::MAX, ms(1));
        assert_eq!(size.rows(), ROWS_MIN);
        for _ in 0..20 {
            // 100 bytes a row.
            size.took((size.rows(), size.rows() * 100), 100_000, ms(1));
        }
        assert_eq!(size.rows(), 1000);
    }
}
