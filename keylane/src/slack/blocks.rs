//! A message in Block Kit.

use keylane_core::notify::{List, Words, count, label, words};
use serde_json::{Value, json};

use super::limits::{
    ALL_CHARS, FIELD_CHARS, FIELDS, HEADER_CHARS, ITEM_CHARS, LISTS, SECTION_CHARS, TEXT_CHARS,
};
use super::text::{code, cut, escaped};
use keylane_core::notify::Entry;

/// What is posted for a message. `from` names the sender (a machine, a version).
pub fn payload(entry: &Entry, from: &str) -> Value {
    let words = words(&entry.message);
    let title = format!("[{}] {}", label(entry.message.severity), words.title);
    let mut blocks = Blocks::default();
    let header = cut(&escaped(&title), HEADER_CHARS);
    let text = json!({"type": "plain_text", "text": header, "emoji": false});
    blocks.push(json!({"type": "header", "text": text}), &header);
    if !words.lead.is_empty() {
        blocks.section(&cut(&escaped(&words.lead), SECTION_CHARS));
    }
    blocks.fields(&words);
    for list in words.lists.iter().take(LISTS) {
        blocks.section(&section_of(list));
    }
    if !words.next.is_empty() {
        blocks.section(&format!("*Next* {}", code(&words.next, SECTION_CHARS - 10)));
    }
    blocks.context(&small_print(entry, &words, from));
    json!({"text": summary(&title, &words), "blocks": blocks.all})
}

/// The whole message in a line or two.
fn summary(title: &str, words: &Words) -> String {
    let mut text = title.to_owned();
    if !words.lead.is_empty() {
        text.push_str(&format!(" ({})", words.lead));
    }
    for (name, value) in words.facts.iter().take(3) {
        text.push_str(&format!("; {name}: {value}"));
    }
    cut(&escaped(&text), TEXT_CHARS)
}

fn small_print(entry: &Entry, words: &Words, from: &str) -> String {
    let mut notes = words.notes.clone();
    notes.push(from.to_owned());
    notes.push(format!("message {}", entry.id));
    if entry.may_have_come {
        notes.push(format!(
            "attempt {}: an earlier one was not answered, so this may have come before",
            entry.attempts
        ));
    }
    cut(&escaped(&notes.join(" · ")), SECTION_CHARS)
}

/// The items that fit, and how many do not.
fn section_of(list: &List) -> String {
    let mut text = format!("*{}*", escaped(list.head));
    let mut left = list.more;
    for (place, item) in list.items.iter().enumerate() {
        let line = format!("\n{}", code(item, ITEM_CHARS));
        // Room for the last line too.
        if text.chars().count() + line.chars().count() + 30 > SECTION_CHARS {
            left += (list.items.len() - place) as u64;
            break;
        }
        text.push_str(&line);
    }
    if left > 0 {
        text.push_str(&format!("\n+{} more", count(left)));
    }
    text
}

/// Blocks that fit together. One that would not is left out; the header and the small print always fit.
#[derive(Default)]
struct Blocks {
    all: Vec<Value>,
    chars: usize,
}

impl Blocks {
    fn push(&mut self, block: Value, text: &str) {
        let chars = text.chars().count();
        if self.chars + chars + SECTION_CHARS <= ALL_CHARS {
            self.chars += chars;
            self.all.push(block);
        }
    }

    fn section(&mut self, text: &str) {
        let block = json!({"type": "section", "text": {"type": "mrkdwn", "text": text}});
        self.push(block, text);
    }

    fn fields(&mut self, words: &Words) {
        let field = |(name, value): &(&'static str, String)| {
            let value = code(value, FIELD_CHARS - name.len() - 4);
            format!("*{}*\n{value}", escaped(name))
        };
        let texts: Vec<String> = words.facts.iter().take(FIELDS).map(field).collect();
        if texts.is_empty() {
            return;
        }
        let fields: Vec<Value> = texts
            .iter()
            .map(|text| json!({"type": "mrkdwn", "text": text}))
            .collect();
        let block = json!({"type": "section", "fields": fields});
        self.push(block, &texts.concat());
    }

    fn context(&mut self, text: &str) {
        let element = json!({"type": "mrkdwn", "text": text});
        let block = json!({"type": "context", "elements": [element]});
        self.all.push(block);
    }
}

#[cfg(test)]
#[path = "blocks_tests.rs"]
mod tests;
