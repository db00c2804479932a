//! What Slack takes of one message, and what is used of it.

/// Characters of a header.
pub(super) const HEADER_CHARS: usize = 150;
/// Characters of a section's text. Slack takes 3,000.
pub(super) const SECTION_CHARS: usize = 900;
/// Fields of a section.
pub(super) const FIELDS: usize = 10;
/// Characters of a field. Slack takes 2,000.
pub(super) const FIELD_CHARS: usize = 300;
/// Characters of one item of a list.
pub(super) const ITEM_CHARS: usize = 200;
/// Lists of a message, a section each: with header, lead, fields, next and context 9 blocks. Slack takes 50.
pub(super) const LISTS: usize = 4;
/// Characters of the top-level text, which notifications and screen readers use.
pub(super) const TEXT_CHARS: usize = 400;
/// Characters of all texts together. Beyond about 13,000 Slack refuses a message whose every part is within its limits.
pub(super) const ALL_CHARS: usize = 3500;
