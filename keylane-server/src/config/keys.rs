//! The tables that say which keys a block has: what each takes, what it is when absent, what it means. One table per
//! block stands in that block's file; reading, "did you mean", the defaults and the reference page all come from it.

/// One key of a block.
#[derive(Debug)]
pub(super) struct Key {
    pub name: &'static str,
    pub takes: Takes,
    pub absent: Absent,
    /// One or two sentences for the reference page.
    pub means: &'static str,
}

/// What a key accepts.
#[derive(Debug)]
pub(super) enum Takes {
    /// A whole number.
    Count { min: u64, max: u64 },
    /// A whole number, or this word.
    CountOr {
        min: u64,
        max: u64,
        word: &'static str,
    },
    /// A whole number that is a power of two.
    PowerOfTwo { min: u64, max: u64 },
    /// A size with its unit.
    Bytes { min: u64, max: u64 },
    /// A duration with its unit.
    Duration { min_ms: u64, max_ms: u64 },
    /// `true` or `false`.
    Flag,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A text, described.
    Text(&'static str),
    /// A text that is never shown, described. May be `${ENV}` or `file:PATH`.
    Secret(&'static str),
    /// A list of texts, each described.
    Texts(&'static str),
    /// A block of settings named by their owner (not by Keylane), described.
    Named(&'static str),
    /// A block with these keys.
    Block(&'static [Key]),
    /// A list of blocks with these keys.
    Blocks(&'static [Key]),
    /// A block for each name the user chooses; the name as the reference page writes it.
    Each(&'static str, &'static [Key]),
}

impl Takes {
    /// Whether what is written for the key may be shown even if it is not what the key takes: a number, a word, a
    /// table's name. Texts may hold anything, so they are not among these.
    pub fn is_never_secret(&self) -> bool {
        match self {
            Takes::Count { .. }
            | Takes::CountOr { .. }
            | Takes::PowerOfTwo { .. }
            | Takes::Bytes { .. }
            | Takes::Duration { .. }
            | Takes::Flag
            | Takes::Word(_)
            | Takes::Texts(_) => true,
            Takes::Text(_)
            | Takes::Secret(_)
            | Takes::Named(_)
            | Takes::Block(_)
            | Takes::Blocks(_)
            | Takes::Each(..) => false,
        }
    }
}

/// What it means that a key is absent.
#[derive(Debug)]
pub(super) enum Absent {
    /// An error.
    Required,
    /// As if this had been written.
    Default(&'static str),
    /// Described.
    Means(&'static str),
}

pub(super) const KIB: u64 = 1024;
pub(super) const MIB: u64 = 1024 * KIB;
pub(super) const GIB: u64 = 1024 * MIB;
pub(super) const TIB: u64 = 1024 * GIB;
pub(super) const SECOND_MS: u64 = 1000;
pub(super) const HOUR_MS: u64 = 3600 * SECOND_MS;
pub(super) const DAY_MS: u64 = 24 * HOUR_MS;

/// The key called `name`. Every caller names a key of its own table.
pub(super) fn find(keys: &'static [Key], name: &str) -> &'static Key {
    keys.iter()
        .find(|key| key.name == name)
        .expect("a block asks only for keys of its own table")
}
