//! How long names may be and how much a saga may hold: what fits the columns of every store, and what one decision can bear.

/// The longest id of a saga, in bytes.
pub const SAGA_ID_BYTES_MAX: usize = 128;
/// The longest business key, in bytes.
pub const KEY_BYTES_MAX: usize = 256;
/// The longest name of a definition or a step, in bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// The longest command type, topic, address or participant's name, in bytes.
pub const ADDRESS_BYTES_MAX: usize = 512;
/// How much of what a participant says of a refusal or a failure is kept, in characters.
pub const REASON_CHARACTERS_MAX: usize = 500;
/// The most steps of a saga.
pub const STEPS_MAX: usize = 2_000;
/// The longest of all times of a definition: ten years.
pub const MS_MAX: u64 = 10 * 365 * 24 * 3_600_000;
/// How long a command may be carried out after it was made: seven days. A participant refuses what is older, so that records of ended sagas may be deleted after this time.
pub const COMMAND_LIFE_US: i64 = 7 * 24 * 3_600_000_000;

/// Whether a text can be the name of a saga or a step: a lower-case letter, then such letters, digits, `-` and `_`, at most [`NAME_BYTES_MAX`] bytes.
pub fn is_name(text: &str) -> bool {
    let mut letters = text.bytes();
    letters.next().is_some_and(|it| it.is_ascii_lowercase())
        && letters.all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || b"-_".contains(&it))
        && text.len() <= NAME_BYTES_MAX
}

/// Whether a text can be an id or a key of so many bytes: not empty, without control characters.
pub(super) fn is_text(text: &str, bytes_max: usize) -> bool {
    !text.is_empty() && text.len() <= bytes_max && !text.chars().any(char::is_control)
}
