//! Pipelines as people read them: one line each, the worst first; and as scripts do.

use serde_json::{Value, json};

use std::fmt::Write as _;

use super::view::{PipelineView, State};
use crate::notify::ChannelView;

/// What `keylane status --format json` and `/v1/status` say.
pub fn told(views: &[PipelineView], channels: &[ChannelView]) -> Value {
    json!({"pipelines": views, "notify": {"channels": channels}})
}

/// A hotter key than this is told to people.
const HOT_SHARE: f64 = 0.1;

/// A table with a head line, and keys that most changes are of. Colour only where asked for; unknown is `-`.
pub fn table(views: &[PipelineView], colored: bool) -> String {
    const HEAD: [&str; 8] = [
        "PIPELINE",
        "STATE",
        "LAG",
        "BEHIND",
        "CAPTURED/s",
        "APPLIED/s",
        "PARKED",
        "WHY",
    ];
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(views.iter().map(row));
    let mut widths = [0; 8];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for (line, row) in rows.iter().enumerate() {
        let mut cells = Vec::new();
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            let padded = match column {
                0 | 1 | 7 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            };
            let state = line.checked_sub(1).and_then(|line| views.get(line));
            cells.push(match state {
                Some(view) if column == 1 && colored => paint(view.state, &padded),
                _ => padded,
            });
        }
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    views.iter().for_each(|view| hot_keys(view, &mut text));
    text
}

fn hot_keys(view: &PipelineView, text: &mut String) {
    for hot in view.hot_keys.iter().filter(|hot| hot.share >= HOT_SHARE) {
        let _ = write!(
            text,
            "{}: {:.0} % of the changes are of {} {}",
            view.name,
            hot.share * 100.0,
            hot.topic,
            hot.key.replace('\n', " ")
        );
        if let Some(most) = hot.changes_per_second_max {
            let _ = write!(text, ": at most {most:.0} changes/s can be applied");
        }
        text.push('\n');
    }
}

fn row(view: &PipelineView) -> [String; 8] {
    let number = |value: Option<u64>| value.map_or("-".to_owned(), |value| value.to_string());
    let rate = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.0}"));
    [
        view.name.clone(),
        view.state.word().to_owned(),
        view.lag_ms.map_or("-".to_owned(), seconds),
        number(view.lag_changes),
        rate(view.captured_per_s),
        rate(view.applied_per_s),
        number(view.parked),
        view.why.replace('\n', " "),
    ]
}

fn seconds(ms: u64) -> String {
    match ms {
        0..=99_999 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        100_000..=7_199_999 => format!("{} min", ms / 60_000),
        7_200_000..=172_799_999 => format!("{} h", ms / 3_600_000),
        _ => format!("{} d", ms / 86_400_000),
    }
}

fn paint(state: State, text: &str) -> String {
    let color = match state {
        State::CaughtUp | State::Streaming => "32",
        State::Snapshotting => "36",
        State::Degraded => "33",
        State::Stopped => "31",
    };
    format!("\u{1b}[{color}m{text}\u{1b}[0m")
}
