//! A choreographed saga as scripts and people see it. Writing to a `String` cannot fail, so the results are dropped.

use std::fmt::Write as _;

use keylane::workers::stats::now_us;
use keylane_core::saga::{
    Choreographies, Listed, Said, Standing, State, StepTrack, Style, Track, Tracked,
};
use serde_json::{Map, Value, json};

use super::view::{line_wire, listed_wire};
use super::view_text::timeline_text;
use crate::status::rfc3339;

/// As it stands in a list.
pub fn tracked_listed(tracked: &Tracked, known: &Choreographies) -> Listed {
    listed(&tracked.id, &known.standing(&tracked.track, now_us()))
}

fn listed(id: &str, standing: &Standing) -> Listed {
    let row = &standing.row;
    let is_stuck = standing.state == State::Stuck;
    let (step, why) = match is_stuck {
        true => (row.stuck_step.clone(), row.stuck_why.clone()),
        false => (row.waits.first().cloned(), row.why.clone()),
    };
    Listed {
        id: id.to_owned(),
        style: Style::Choreography,
        key: row.key.clone(),
        definition: row.definition.clone(),
        version: None,
        state: standing.state,
        step,
        attempts: 0,
        why,
        started_us: row.started_us,
        updated_us: row.updated_us,
    }
}

/// All of one.
pub fn tracked_wire(tracked: &Tracked, known: &Choreographies) -> Value {
    let standing = known.standing(&tracked.track, now_us());
    let mut wire = match listed_wire(&listed(&tracked.id, &standing)) {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    let steps = steps(tracked, &standing);
    let steps = steps.iter().map(|(id, track)| {
        let said = |said: Said| track.said.get(&said).map(|at_us| rfc3339(*at_us));
        json!({
            "step": id,
            "status": status(track),
            "services": track.services,
            "by_hand": track.by_hand,
            "done": said(Said::Done),
            "failed": said(Said::Failed),
            "compensated": said(Said::Undone),
            "fenced": said(Said::Fenced),
        })
    });
    let steps: Vec<Value> = steps.collect();
    let alarms = standing.alarms.iter().map(|alarm| {
        json!({
            "alarm": alarm.code(),
            "step": alarm.step(),
            "since": alarm.since_us().map(rfc3339),
            "what": alarm.to_string(),
        })
    });
    let alarms: Vec<Value> = alarms.collect();
    let timeline: Vec<Value> = tracked.timeline().iter().map(line_wire).collect();
    let mut put = |name: &str, value: Value| wire.insert(name.to_owned(), value);
    put("reason", json!(standing.row.why));
    put("ended", json!(standing.row.ended_us.map(rfc3339)));
    put("next", json!(next(&tracked.track, &standing)));
    put("alarms", json!(alarms));
    put("steps", json!(steps));
    put("timeline", json!(timeline));
    put("timeline_left_out", json!(0));
    Value::Object(wire)
}

/// The steps that were heard of, and those that are waited for.
fn steps(tracked: &Tracked, standing: &Standing) -> Vec<(String, StepTrack)> {
    let mut steps = tracked.track.steps.clone();
    for id in &standing.row.waits {
        steps.entry(id.clone()).or_default();
    }
    let mut steps: Vec<(String, StepTrack)> = steps.into_iter().collect();
    // As they went; what was not heard of comes last.
    steps.sort_by_key(|(_, track)| track.said.values().min().copied().unwrap_or(i64::MAX));
    steps
}

/// What was said of a step last, in the order in which one follows from the other.
fn status(track: &StepTrack) -> &'static str {
    let order = [Said::Undone, Said::Done, Said::Failed, Said::Fenced];
    let said = order.into_iter().find(|said| track.is(*said));
    said.map_or("expected", Said::code)
}

/// What is expected next, in words.
fn next(track: &Track, standing: &Standing) -> Vec<String> {
    let goes_back = track.goes_back_us().is_some();
    let lines = standing.next.iter().map(|(step, due_us)| {
        let of_step = track.steps.get(step);
        let is_done = of_step.is_some_and(|it| it.is(Said::Done));
        let is_back = of_step.is_some_and(StepTrack::is_back);
        let what = match (goes_back, is_done) {
            (true, _) if is_back => "what came before it is heard",
            (true, true) => "its service undoes it",
            (true, false) => "its service says that it is not done, or undone",
            (false, true) => "what came before it is heard",
            (false, false) => "its service does it",
        };
        let due = due_us.map_or(String::new(), |at_us| {
            format!(", else it is late at {}", rfc3339(at_us))
        });
        format!("{step}: {what}{due}")
    });
    lines.collect()
}

/// All of one, for people.
pub fn tracked_text(tracked: &Tracked, known: &Choreographies) -> String {
    let standing = known.standing(&tracked.track, now_us());
    let row = &standing.row;
    let definition = row
        .definition
        .as_deref()
        .unwrap_or("of no known choreography");
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{}: {definition}, choreographed, {}",
        tracked.id,
        standing.state.code()
    );
    if let Some(key) = &row.key {
        let _ = writeln!(text, "key {key}");
    }
    let _ = writeln!(
        text,
        "started {}, updated {}",
        rfc3339(row.started_us),
        rfc3339(row.updated_us)
    );
    if let Some(why) = &row.why {
        let _ = writeln!(text, "it goes back because: {why}");
    }
    text.push_str("\nsteps\n");
    let steps = steps(tracked, &standing);
    let width = steps.iter().map(|(id, _)| id.len()).max().unwrap_or(0);
    for (id, track) in &steps {
        let services: Vec<&str> = track.services.iter().map(String::as_str).collect();
        let by = match services.is_empty() {
            true => String::new(),
            false => format!(" by {}", services.join(", ")),
        };
        let by_hand = if track.by_hand { ", by hand" } else { "" };
        let _ = writeln!(text, "  {id:width$}  {}{by}{by_hand}", status(track));
    }
    let next = next(&tracked.track, &standing);
    for (title, lines) in [
        ("next", next),
        (
            "wrong",
            standing.alarms.iter().map(ToString::to_string).collect(),
        ),
    ] {
        if !lines.is_empty() {
            let _ = writeln!(text, "\n{title}");
            for line in lines {
                let _ = writeln!(text, "  {line}");
            }
        }
    }
    timeline_text(&mut text, &tracked.timeline(), 0);
    text
}
