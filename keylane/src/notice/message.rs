//! The message around its figures.

use keylane_core::notify::{Message, News, Severity, State, Subject, What, words};
use serde::{Deserialize, Serialize};

use super::day::time;
use super::detail::DetailForm;
use super::time::rfc3339;

/// A message. Of what does not apply nothing is there.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MessageForm {
    news: String,
    severity: String,
    /// For people; not read back.
    #[serde(default)]
    title: String,
    at: String,
    #[serde(default)]
    pipeline: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    table: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lasted_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    runs: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    changes: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    within_ms: Option<u64>,
    #[serde(flatten)]
    detail: DetailForm,
}

impl From<&Message> for MessageForm {
    fn from(message: &Message) -> Self {
        let subject = message.subject.as_ref();
        let pipeline = subject.and_then(|subject| subject.pipeline.as_deref());
        let mut form = MessageForm {
            news: message.news.word().to_owned(),
            severity: message.severity.word().to_owned(),
            title: words(message).title,
            at: rfc3339(message.at_us),
            pipeline: pipeline.map(str::to_owned),
            subject: subject.map(|subject| subject.what.kind().to_owned()),
            table: subject.and_then(|subject| subject.what.table().map(str::to_owned)),
            from: None,
            to: message.news.state().map(|state| state.word().to_owned()),
            lasted_ms: None,
            runs: None,
            changes: None,
            within_ms: None,
            detail: (&message.detail).into(),
        };
        match message.news {
            News::Changed {
                from,
                lasted_ms,
                runs,
                ..
            } => {
                form.from = Some(from.word().to_owned());
                (form.lasted_ms, form.runs) = (Some(lasted_ms), Some(runs));
            }
            News::Flapping {
                changes, within_ms, ..
            } => (form.changes, form.within_ms) = (Some(changes), Some(within_ms)),
            News::Settled { changes, .. } => form.changes = Some(changes),
            News::Digest | News::Folded | News::Test => {}
        }
        form
    }
}

impl MessageForm {
    /// What it says.
    ///
    /// # Errors
    /// Names the word that this version does not know.
    pub(crate) fn read(self) -> Result<Message, String> {
        let state = |word: &Option<String>| {
            let word = word.as_deref().unwrap_or_default();
            State::read(word).ok_or_else(|| format!("state {word}"))
        };
        let news = match self.news.as_str() {
            "changed" => News::Changed {
                from: state(&self.from)?,
                to: state(&self.to)?,
                lasted_ms: self.lasted_ms.unwrap_or(0),
                runs: self.runs.unwrap_or(0),
            },
            "flapping" => News::Flapping {
                state: state(&self.to)?,
                changes: self.changes.unwrap_or(0),
                within_ms: self.within_ms.unwrap_or(0),
            },
            "settled" => News::Settled {
                state: state(&self.to)?,
                changes: self.changes.unwrap_or(0),
            },
            "digest" => News::Digest,
            "folded" => News::Folded,
            "test" => News::Test,
            other => return Err(format!("news {other}")),
        };
        let (pipeline, table) = (self.pipeline.as_deref(), self.table.as_deref());
        let subject = self.subject.as_deref();
        let subject = subject.map(|kind| subject_of(pipeline, kind, table));
        let severity = Severity::read(&self.severity);
        Ok(Message {
            subject: subject.transpose()?,
            news,
            severity: severity.ok_or_else(|| format!("severity {}", self.severity))?,
            at_us: time(&self.at)?,
            detail: self.detail.read()?,
        })
    }
}

/// A subject out of its parts.
///
/// # Errors
/// Names the kind that this version does not know.
pub(crate) fn subject_of(
    pipeline: Option<&str>,
    kind: &str,
    table: Option<&str>,
) -> Result<Subject, String> {
    let what = What::read(kind, table).ok_or_else(|| format!("subject {kind}"))?;
    Ok(Subject {
        pipeline: pipeline.map(Into::into),
        what,
    })
}
