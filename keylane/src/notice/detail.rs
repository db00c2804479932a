//! The figures of a message.

use keylane_core::notify::{
    Detail, Half, LagFound, ParkedFound, RoadFound, SagasFound, SampleKey, SlotFound, TableReport,
    ValuePair, Verdict,
};
use serde::{Deserialize, Serialize};

use super::day::{DigestForm, FoldedForm};

/// One of these, under the name of its kind; none: a test.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct DetailForm {
    #[serde(skip_serializing_if = "Option::is_none")]
    comparison: Option<ComparisonForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lag: Option<LagForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    slot: Option<SlotForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parked: Option<ParkedForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sagas: Option<SagasForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    road: Option<RoadForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<DigestForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    folded: Option<FoldedForm>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ComparisonForm {
    pipeline: Option<String>,
    table: String,
    run: String,
    verdict: String,
    rows_origin: u64,
    rows_replica: u64,
    missing: u64,
    extra: u64,
    different: u64,
    hot: u64,
    repaired: u64,
    repair_failed: u64,
    lossy: Vec<String>,
    columns: Vec<ColumnForm>,
    keys: Vec<KeyForm>,
    ms: u64,
    position: String,
    next: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct ColumnForm {
    column: String,
    rows: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeyForm {
    key: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    values: Vec<ValueForm>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ValueForm {
    column: String,
    origin: String,
    replica: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct LagForm {
    lag_ms: u64,
    bound_ms: u64,
    lag_changes: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SlotForm {
    retained_bytes: u64,
    room_bytes: u64,
    grows_bytes_per_s: u64,
    full_in_ms: Option<u64>,
    bound_ms: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct ParkedForm {
    keys: u64,
    bound: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct SagasForm {
    stuck: u64,
    bound: u64,
    definitions: Vec<(String, u64)>,
}

#[derive(Debug, Serialize, Deserialize)]
struct RoadForm {
    half: String,
    state: String,
    why: String,
}

impl From<&Detail> for DetailForm {
    fn from(detail: &Detail) -> Self {
        let mut form = DetailForm::default();
        match detail {
            Detail::Table(report) => form.comparison = Some((&**report).into()),
            Detail::Lag(found) => {
                form.lag = Some(LagForm {
                    lag_ms: found.lag_ms,
                    bound_ms: found.bound_ms,
                    lag_changes: found.changes,
                });
            }
            Detail::Slot(found) => {
                form.slot = Some(SlotForm {
                    retained_bytes: found.retained_bytes,
                    room_bytes: found.room_bytes,
                    grows_bytes_per_s: found.grows_bytes_per_s,
                    full_in_ms: found.full_in_ms,
                    bound_ms: found.bound_ms,
                });
            }
            Detail::Parked(found) => {
                let (keys, bound) = (found.keys, found.bound);
                form.parked = Some(ParkedForm { keys, bound });
            }
            Detail::Road(found) => {
                form.road = Some(RoadForm {
                    half: found.half.word().to_owned(),
                    state: found.state.clone(),
                    why: found.why.clone(),
                });
            }
            Detail::Sagas(found) => {
                form.sagas = Some(SagasForm {
                    stuck: found.sagas,
                    bound: found.bound,
                    definitions: found.definitions.clone(),
                });
            }
            Detail::Digest(digest) => form.digest = Some((&**digest).into()),
            Detail::Folded(folded) => form.folded = Some(folded.into()),
            Detail::Test => {}
        }
        form
    }
}

impl DetailForm {
    /// What it says.
    ///
    /// # Errors
    /// Names the word that this version does not know.
    pub(crate) fn read(self) -> Result<Detail, String> {
        if let Some(form) = self.comparison {
            return Ok(Detail::Table(Box::new(form.read()?)));
        }
        if let Some(form) = self.lag {
            return Ok(Detail::Lag(LagFound {
                lag_ms: form.lag_ms,
                bound_ms: form.bound_ms,
                changes: form.lag_changes,
            }));
        }
        if let Some(form) = self.slot {
            return Ok(Detail::Slot(SlotFound {
                retained_bytes: form.retained_bytes,
                room_bytes: form.room_bytes,
                grows_bytes_per_s: form.grows_bytes_per_s,
                full_in_ms: form.full_in_ms,
                bound_ms: form.bound_ms,
            }));
        }
        if let Some(ParkedForm { keys, bound }) = self.parked {
            return Ok(Detail::Parked(ParkedFound { keys, bound }));
        }
        if let Some(form) = self.sagas {
            return Ok(Detail::Sagas(SagasFound {
                sagas: form.stuck,
                bound: form.bound,
                definitions: form.definitions,
            }));
        }
        if let Some(form) = self.road {
            let halves = [Half::Capture, Half::Apply];
            let mut halves = halves.into_iter();
            let half = halves.find(|half| half.word() == form.half);
            return Ok(Detail::Road(RoadFound {
                half: half.ok_or_else(|| format!("half {}", form.half))?,
                state: form.state,
                why: form.why,
            }));
        }
        if let Some(form) = self.digest {
            return Ok(Detail::Digest(Box::new(form.read()?)));
        }
        match self.folded {
            Some(form) => Ok(Detail::Folded(form.read()?)),
            None => Ok(Detail::Test),
        }
    }
}

impl From<&TableReport> for ComparisonForm {
    fn from(report: &TableReport) -> Self {
        ComparisonForm {
            pipeline: report.pipeline.as_deref().map(str::to_owned),
            table: report.table.to_string(),
            run: report.run.clone(),
            verdict: report.verdict.word().to_owned(),
            rows_origin: report.rows_origin,
            rows_replica: report.rows_replica,
            missing: report.missing,
            extra: report.extra,
            different: report.different,
            hot: report.hot,
            repaired: report.repaired,
            repair_failed: report.repair_failed,
            lossy: report.lossy.clone(),
            columns: report
                .columns
                .iter()
                .map(|(column, rows)| ColumnForm {
                    column: column.clone(),
                    rows: *rows,
                })
                .collect(),
            keys: report.keys.iter().map(KeyForm::from).collect(),
            ms: report.took_ms,
            position: report.position.clone(),
            next: report.next.clone(),
        }
    }
}

impl From<&SampleKey> for KeyForm {
    fn from(sample: &SampleKey) -> Self {
        let value = |pair: &ValuePair| ValueForm {
            column: pair.column.clone(),
            origin: pair.origin.clone(),
            replica: pair.replica.clone(),
        };
        KeyForm {
            key: sample.key.clone(),
            values: sample.values.iter().map(value).collect(),
        }
    }
}

impl ComparisonForm {
    fn read(self) -> Result<TableReport, String> {
        let verdict = Verdict::read(&self.verdict);
        let pair = |value: ValueForm| ValuePair {
            column: value.column,
            origin: value.origin,
            replica: value.replica,
        };
        let sample = |form: KeyForm| SampleKey {
            key: form.key,
            values: form.values.into_iter().map(pair).collect(),
        };
        Ok(TableReport {
            pipeline: self.pipeline.map(Into::into),
            table: self.table.into(),
            run: self.run,
            verdict: verdict.ok_or_else(|| format!("verdict {}", self.verdict))?,
            rows_origin: self.rows_origin,
            rows_replica: self.rows_replica,
            missing: self.missing,
            extra: self.extra,
            different: self.different,
            hot: self.hot,
            repaired: self.repaired,
            repair_failed: self.repair_failed,
            lossy: self.lossy,
            columns: self
                .columns
                .into_iter()
                .map(|form| (form.column, form.rows))
                .collect(),
            keys: self.keys.into_iter().map(sample).collect(),
            took_ms: self.ms,
            position: self.position,
            next: self.next,
        })
    }
}
