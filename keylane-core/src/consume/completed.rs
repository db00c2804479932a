//! Which of a partition's records are done: everything below the frontier, and some above it.
//!
//! Records that are worked on side by side end out of order. What is kept over a restart is the frontier *and* what is done above it, taken at one moment, so that
//! little is done twice. In Kafka it goes into the commit's metadata, whose length the broker bounds; what does not fit is left out, and done again after a restart.

use std::collections::VecDeque;

use crate::model::Offset;

/// Records of one partition that are done. Memory: one bit for each offset between the frontier and the highest record known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completed {
    /// A multiple of 64; bit 0 of the first word is this offset.
    base: u64,
    words: VecDeque<u64>,
    frontier: u64,
    /// Where the next record is expected; everything from here on is unknown.
    end: u64,
}

/// What was stored could not be read; everything from the frontier on counts as not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a map of completed records that this version knows")]
pub struct UnreadableMap;

const WORD: u64 = 64;
/// Before the runs: which form it is.
const FORM: &str = "keylane1:";
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl Completed {
    /// Everything below `frontier` is done.
    pub fn from(frontier: Offset) -> Self {
        Completed {
            base: frontier.0 - frontier.0 % WORD,
            words: VecDeque::new(),
            frontier: frontier.0,
            end: frontier.0,
        }
    }

    /// The offset below which everything is done.
    pub fn frontier(&self) -> Offset {
        Offset(self.frontier)
    }

    /// Where the next record is expected.
    pub fn end(&self) -> Offset {
        Offset(self.end.max(self.frontier))
    }

    /// A record came. Offsets that were passed over hold none (compaction, transaction markers) and count as done. Returns whether the record is to be worked on.
    pub fn receive(&mut self, offset: Offset) -> bool {
        let gap = self.end.max(self.frontier)..offset.0;
        for passed in gap {
            self.set(passed);
        }
        self.end = self.end.max(offset.0 + 1);
        let new = !self.is_done(offset);
        self.advance();
        new
    }

    /// A record is done.
    pub fn done(&mut self, offset: Offset) {
        self.set(offset.0);
        self.end = self.end.max(offset.0 + 1);
        self.advance();
    }

    /// Whether it is.
    pub fn is_done(&self, offset: Offset) -> bool {
        if offset.0 < self.frontier {
            return true;
        }
        let word = self.words.get(self.word_of(offset.0));
        word.is_some_and(|word| word & bit(offset.0) != 0)
    }

    /// How many offsets lie between the frontier and the highest known.
    pub fn span(&self) -> u64 {
        self.end.saturating_sub(self.frontier)
    }

    /// What is done above the frontier, as text of at most `bytes_max` bytes; empty if nothing is. The second is how many done records did not fit.
    pub fn map(&self, bytes_max: usize) -> (String, u64) {
        let mut text = FORM.to_owned();
        let mut left_out = 0;
        let mut full = false;
        for (undone, done) in self.runs() {
            let mut pair = String::new();
            digits(&mut pair, undone);
            digits(&mut pair, done);
            full = full || text.len() + pair.len() > bytes_max;
            if full {
                left_out += done;
            } else {
                text.push_str(&pair);
            }
        }
        if text.len() == FORM.len() {
            text.clear();
        }
        (text, left_out)
    }

    /// From a frontier and what was stored with it.
    ///
    /// # Errors
    /// If the text is not one that [`Completed::map`] made.
    pub fn restore(frontier: Offset, map: &str) -> Result<Self, UnreadableMap> {
        let mut completed = Completed::from(frontier);
        if map.is_empty() {
            return Ok(completed);
        }
        let mut rest = map.strip_prefix(FORM).ok_or(UnreadableMap)?.bytes();
        let mut at = frontier.0;
        while let Some(undone) = number(&mut rest)? {
            let done = number(&mut rest)?.ok_or(UnreadableMap)?;
            let from = at.checked_add(undone).ok_or(UnreadableMap)?;
            at = from.checked_add(done).ok_or(UnreadableMap)?;
            if at - frontier.0 > SPAN_MAX {
                return Err(UnreadableMap);
            }
            for offset in from..at {
                completed.set(offset);
            }
        }
        completed.advance();
        Ok(completed)
    }

    /// Runs above the frontier: so many not done, then so many done.
    fn runs(&self) -> Vec<(u64, u64)> {
        let mut runs = Vec::new();
        let (mut undone, mut done) = (0, 0);
        for offset in self.frontier..self.base + self.words.len() as u64 * WORD {
            if self.is_done(Offset(offset)) {
                done += 1;
            } else if done > 0 {
                runs.push((undone, done));
                (undone, done) = (1, 0);
            } else {
                undone += 1;
            }
        }
        if done > 0 {
            runs.push((undone, done));
        }
        runs
    }

    fn word_of(&self, offset: u64) -> usize {
        usize::try_from((offset - self.base) / WORD).unwrap_or(usize::MAX)
    }

    fn set(&mut self, offset: u64) {
        if offset < self.frontier {
            return;
        }
        let index = self.word_of(offset);
        while self.words.len() <= index {
            self.words.push_back(0);
        }
        if let Some(word) = self.words.get_mut(index) {
            *word |= bit(offset);
        }
    }

    fn advance(&mut self) {
        while let Some(word) = self.words.front() {
            let within = self.frontier - self.base;
            let ones = (word >> within).trailing_ones();
            // The shift brought zeros in from above: they are of the next word.
            let left = WORD - within;
            self.frontier += u64::from(ones).min(left);
            if u64::from(ones) < left {
                break;
            }
            self.words.pop_front();
            self.base += WORD;
        }
    }
}

/// More than is ever read ahead: what claims more is not ours.
const SPAN_MAX: u64 = 1 << 32;

fn bit(offset: u64) -> u64 {
    1 << (offset % WORD)
}

/// Five bits a digit, lowest first; the sixth says that more follow.
fn digits(text: &mut String, mut number: u64) {
    loop {
        let low = (number & 31) as usize;
        number >>= 5;
        let digit = if number == 0 { low } else { low | 32 };
        text.push(char::from(DIGITS[digit]));
        if number == 0 {
            return;
        }
    }
}

fn number(text: &mut impl Iterator<Item = u8>) -> Result<Option<u64>, UnreadableMap> {
    let (mut number, mut shift) = (0_u64, 0);
    loop {
        let Some(byte) = text.next() else {
            return if shift == 0 {
                Ok(None)
            } else {
                Err(UnreadableMap)
            };
        };
        let digit = DIGITS.iter().position(|digit| *digit == byte);
        let digit = digit.ok_or(UnreadableMap)? as u64;
        if shift > 35 {
            return Err(UnreadableMap);
        }
        number |= (digit & 31) << shift;
        shift += 5;
        if digit & 32 == 0 {
            return Ok(Some(number));
        }
    }
}

#[cfg(test)]
mod tests;
