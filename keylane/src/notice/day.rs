//! Digests, and messages that were folded.

use keylane_core::notify::{Day, Digest, Folded, OpenLine, PipelineLine, State};
use serde::{Deserialize, Serialize};

use super::message::subject_of;
use super::time::{from_rfc3339, rfc3339};

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct DigestForm {
    from: String,
    to: String,
    pipelines: Vec<PipelineForm>,
    open: Vec<OpenForm>,
    open_more: u64,
    tables: u64,
    #[serde(flatten)]
    day: DayForm,
}

/// What happened between two digests.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct DayForm {
    runs: u64,
    unproved: u64,
    below: u64,
    found: u64,
    repaired: u64,
    changes: u64,
}

impl From<Day> for DayForm {
    fn from(day: Day) -> Self {
        DayForm {
            runs: day.runs,
            unproved: day.unproved,
            below: day.below,
            found: day.found,
            repaired: day.repaired,
            changes: day.changes,
        }
    }
}

impl From<DayForm> for Day {
    fn from(form: DayForm) -> Self {
        Day {
            runs: form.runs,
            unproved: form.unproved,
            below: form.below,
            found: form.found,
            repaired: form.repaired,
            changes: form.changes,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct PipelineForm {
    name: String,
    state: String,
    why: String,
    lag_ms: Option<u64>,
    parked: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct OpenForm {
    pipeline: Option<String>,
    subject: String,
    table: Option<String>,
    state: String,
    since: String,
    runs: u32,
    words: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FoldedForm {
    messages: u64,
    from: String,
    to: String,
}

/// A time that was written by [`rfc3339`].
pub(super) fn time(text: &str) -> Result<i64, String> {
    from_rfc3339(text).ok_or_else(|| format!("time {text}"))
}

impl From<&Digest> for DigestForm {
    fn from(digest: &Digest) -> Self {
        DigestForm {
            from: rfc3339(digest.from_us),
            to: rfc3339(digest.to_us),
            pipelines: digest.pipelines.iter().map(PipelineForm::from).collect(),
            open: digest.open.iter().map(OpenForm::from).collect(),
            open_more: digest.open_more,
            tables: digest.tables,
            day: digest.day.into(),
        }
    }
}

impl DigestForm {
    pub(super) fn read(self) -> Result<Digest, String> {
        let pipelines = self.pipelines.into_iter().map(|form| PipelineLine {
            name: form.name.into(),
            state: form.state,
            why: form.why,
            lag_ms: form.lag_ms,
            parked: form.parked,
        });
        let open: Result<_, String> = self.open.into_iter().map(OpenForm::read).collect();
        Ok(Digest {
            from_us: time(&self.from)?,
            to_us: time(&self.to)?,
            pipelines: pipelines.collect(),
            open: open?,
            open_more: self.open_more,
            tables: self.tables,
            day: self.day.into(),
        })
    }
}

impl From<&PipelineLine> for PipelineForm {
    fn from(line: &PipelineLine) -> Self {
        PipelineForm {
            name: line.name.to_string(),
            state: line.state.clone(),
            why: line.why.clone(),
            lag_ms: line.lag_ms,
            parked: line.parked,
        }
    }
}

impl From<&OpenLine> for OpenForm {
    fn from(line: &OpenLine) -> Self {
        let subject = &line.subject;
        OpenForm {
            pipeline: subject.pipeline.as_deref().map(str::to_owned),
            subject: subject.what.kind().to_owned(),
            table: subject.what.table().map(str::to_owned),
            state: line.state.word().to_owned(),
            since: rfc3339(line.since_us),
            runs: line.runs,
            words: line.words.clone(),
        }
    }
}

impl OpenForm {
    fn read(self) -> Result<OpenLine, String> {
        let state = State::read(&self.state);
        Ok(OpenLine {
            subject: subject_of(
                self.pipeline.as_deref(),
                &self.subject,
                self.table.as_deref(),
            )?,
            state: state.ok_or_else(|| format!("state {}", self.state))?,
            since_us: time(&self.since)?,
            runs: self.runs,
            words: self.words,
        })
    }
}

impl From<&Folded> for FoldedForm {
    fn from(folded: &Folded) -> Self {
        FoldedForm {
            messages: folded.messages,
            from: rfc3339(folded.from_us),
            to: rfc3339(folded.to_us),
        }
    }
}

impl FoldedForm {
    pub(super) fn read(self) -> Result<Folded, String> {
        Ok(Folded {
            messages: self.messages,
            from_us: time(&self.from)?,
            to_us: time(&self.to)?,
        })
    }
}
