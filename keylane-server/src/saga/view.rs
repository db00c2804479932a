//! A saga as scripts see it.

use keylane::saga::orchestrator::shown_name;
use keylane_core::saga::{
    Line, Listed, Plan, Saga, SagaDesk, Shown, StepRow, StoreError, Style, TrackStore,
};
use serde_json::{Map, Value, json};

use crate::status::rfc3339;

/// A saga in a list.
pub fn listed_wire(listed: &Listed) -> Value {
    json!({
        "id": listed.id,
        "definition": listed.definition,
        "version": listed.version,
        "style": listed.style.code(),
        "state": listed.state.code(),
        "step": listed.step,
        "attempts": listed.attempts,
        "why": listed.why,
        "started": rfc3339(listed.started_us),
        "updated": rfc3339(listed.updated_us),
        "key": listed.key,
    })
}

/// Sagas of a list, each with its timeline.
///
/// # Errors
/// If the store does not answer.
pub async fn list_wire(
    desk: &dyn SagaDesk,
    tracks: &dyn TrackStore,
    listed: &[Listed],
) -> Result<Value, StoreError> {
    let mut all = Vec::with_capacity(listed.len());
    for one in listed {
        // None: it ended and was forgotten meanwhile.
        let timeline = match one.style {
            Style::Orchestration => desk.show(&one.id).await?.map(|it| it.timeline),
            Style::Choreography => tracks.tracked(&one.id).await?.map(|it| it.timeline()),
        };
        let timeline = timeline.unwrap_or_default();
        let timeline: Vec<Value> = timeline.iter().map(line_wire).collect();
        let mut wire = listed_wire(one);
        if let Some(members) = wire.as_object_mut() {
            members.insert("timeline".to_owned(), Value::Array(timeline));
        }
        all.push(wire);
    }
    Ok(json!({ "sagas": all }))
}

/// All of a saga.
pub fn shown_wire(shown: &Shown, plan: &Plan) -> Value {
    let saga = &shown.saga;
    let mut wire = match listed_wire(&saga.listed(plan)) {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    let steps = plan.definition().steps.iter().zip(&saga.steps);
    let steps: Vec<Value> = steps.map(|(step, row)| step_wire(step, row)).collect();
    let mut put = |name: &str, value: Value| wire.insert(name.to_owned(), value);
    put("reason", json!(saga.reason));
    put("data", saga.data.clone());
    put("revision", json!(saga.revision));
    put("deadline", json!(saga.deadline_us.map(rfc3339)));
    put("ended", json!(saga.ended_us.map(rfc3339)));
    put("next", json!(next(saga, plan)));
    put("steps", json!(steps));
    let timeline: Vec<Value> = shown.timeline.iter().map(line_wire).collect();
    put("timeline", json!(timeline));
    put("timeline_left_out", json!(shown.left_out));
    Value::Object(wire)
}

fn step_wire(step: &keylane_core::saga::Step, row: &StepRow) -> Value {
    json!({
        "step": step.id,
        "kind": step.kind.code(),
        "participant": shown_name(step.participant.name()),
        "status": row.status.code(),
        "attempts": row.attempts,
        "stuck": row.stuck,
        "by_hand": row.by_hand,
        "since": row.since_us.map(rfc3339),
        "next": row.next_us.map(rfc3339),
        "reply": row.reply,
        "error": row.error,
    })
}

pub(super) fn line_wire(line: &Line) -> Value {
    json!({
        "at": rfc3339(line.at_us),
        "what": line.what,
        "step": line.step,
        "attempt": line.attempt,
        "actor": line.actor,
        "reason": line.reason,
    })
}

/// What is expected next, in words: one line for each step that is out.
pub(super) fn next(saga: &Saga, plan: &Plan) -> Vec<String> {
    let steps = plan.definition().steps.iter().zip(&saga.steps);
    let out = steps.filter_map(|(step, row)| {
        let op = row.status.op()?;
        let asked = match row.by_hand && op == keylane_core::saga::Op::Compensate {
            true => "somebody undoes it by hand and marks it".to_owned(),
            false => format!(
                "{} answers to {}",
                shown_name(step.participant.name()),
                op.code()
            ),
        };
        let until = row.next_us.map(rfc3339);
        let else_what = until.map_or(String::new(), |until| {
            format!(", else it is looked at again at {until}")
        });
        Some(format!("{}: {asked}{else_what}", step.id))
    });
    out.collect()
}
