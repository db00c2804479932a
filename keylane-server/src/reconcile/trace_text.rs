//! A row's way as people read it.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Map, Value};

use super::trace::{Reconciled, Trace, TracedRecord};

/// Each station a line.
pub fn trace_text(trace: &Trace) -> String {
    let key = row(Some(&trace.key));
    let mut lines = vec![
        format!("{} {} {key}", trace.pipeline, trace.table),
        format!("origin    {}", row(trace.origin.as_ref())),
    ];
    lines.extend(trace.records.iter().map(record));
    if trace.records.is_empty() {
        lines.push("record    none was found in the log".to_owned());
    }
    if trace.older_left_out {
        lines.push("record    older ones were not looked for".to_owned());
    }
    if let (Some(partition), Some(lane)) = (&trace.partition, trace.lane) {
        let below = trace
            .applied_below
            .map_or("-".to_owned(), |it| it.to_string());
        lines.push(format!(
            "lane      {partition} lane {lane}, applied below {below}"
        ));
    }
    if trace.parked {
        lines.push("parked    changes of it are parked: `keylane parked list`".to_owned());
    }
    lines.push(format!("replica   {}", row(trace.replica.as_ref())));
    if !trace.differs.is_empty() {
        let columns = trace.differs.join(", ");
        lines.push(format!(
            "differs   {columns} (proved or not: `keylane reconcile`)"
        ));
    }
    lines.push(match &trace.reconciled {
        None => "compared  never, as far as this machine knows".to_owned(),
        Some(last) => compared(last),
    });
    lines.join("\n") + "\n"
}

fn row(cells: Option<&Map<String, Value>>) -> String {
    let Some(cells) = cells else {
        return "no row".to_owned();
    };
    let cells = cells.iter().map(|(name, value)| format!("{name}={value}"));
    cells.collect::<Vec<_>>().join(" ")
}

fn at(us: i64) -> String {
    let since = Duration::from_micros(u64::try_from(us).unwrap_or(0));
    humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string()
}

fn record(record: &TracedRecord) -> String {
    let applied = match record.applied {
        true => "applied",
        false => "not applied yet",
    };
    let TracedRecord {
        partition,
        offset,
        op,
        position,
        committed_us,
        ..
    } = record;
    let committed = at(*committed_us);
    format!("record    {partition} {offset} {op} committed {committed} at {position}, {applied}")
}

fn compared(last: &Reconciled) -> String {
    let row = match (&last.row_run, &last.row_kind) {
        (Some(run), Some(kind)) => {
            let repair = last.row_repair.as_deref().unwrap_or_default();
            format!("; the row itself: {kind} {repair} in run {run}")
        }
        _ => String::new(),
    };
    let (when, run, verdict) = (at(last.at_us), &last.run, &last.verdict);
    format!("compared  {when} in run {run}: table {verdict}{row}")
}
