//! Every operation on every stored state, and orders of operations that went wrong elsewhere.

use super::*;
use serde_json::json;

fn asked(op: Op) -> Asked {
    Asked {
        op,
        kind: StepKind::Compensatable,
        expires_us: 100,
    }
}

/// A participant whose action answers `reply`; what it answers, and whether anything ran.
fn carry_out(rows: &mut Rows, op: Op, ran: Ran) -> (Outcome, bool) {
    let (conclusion, has_run) = match judge(asked(op), rows, 100) {
        Judgement::Expired => unreachable!("it is not too old"),
        Judgement::RunAction | Judgement::RunUndo(_) => (conclude(asked(op), rows, ran), true),
        Judgement::Answer(conclusion) => (conclusion, false),
    };
    match conclusion {
        Conclusion::Commit(new, outcome) | Conclusion::CommitWithoutEffect(new, outcome) => {
            *rows = new;
            (outcome, has_run)
        }
        Conclusion::RollBack(outcome) => (outcome, has_run),
    }
}

fn ok() -> Ran {
    Ran::Ok(json!({"seat": "7C"}))
}

/// The operations one after another, each asked for twice; what each answers, both times.
fn check(operations: &[(Op, Ran)], expect: &[Outcome]) {
    let mut rows = Rows::default();
    for ((op, ran), outcome) in operations.iter().zip(expect) {
        assert_eq!(carry_out(&mut rows, *op, ran.clone()).0, *outcome);
        let before = rows.clone();
        let (again, has_run) = carry_out(&mut rows, *op, Ran::Ok(json!("another")));
        assert!(!has_run, "{op:?} ran twice");
        assert_eq!(rows, before);
        // A fence that was first answers as one that came later.
        assert_eq!(again, *outcome);
    }
}

#[test]
fn a_repeat_gets_the_first_answer_and_runs_nothing() {
    let done = || json!({"seat": "7C"});
    check(
        &[
            (Op::Action, ok()),
            (Op::Fence, ok()),
            (Op::Compensate, Ran::Ok(json!(1))),
        ],
        &[
            Outcome::Ok(done()),
            Outcome::Done(done()),
            Outcome::Ok(json!(1)),
        ],
    );
}

#[test]
fn an_undo_before_its_action_undoes_nothing_and_the_action_never_runs() {
    check(
        &[
            (Op::Compensate, ok()),
            (Op::Action, ok()),
            (Op::Fence, ok()),
        ],
        &[Outcome::Noop, Outcome::Fenced, Outcome::Fenced],
    );
}

#[test]
fn a_fence_before_its_action_stands_for_ever() {
    check(
        &[
            (Op::Fence, ok()),
            (Op::Action, ok()),
            (Op::Compensate, ok()),
        ],
        &[Outcome::Fenced, Outcome::Fenced, Outcome::Noop],
    );
}

#[test]
fn a_no_stands_for_ever() {
    let no = || "sold out".to_owned();
    check(
        &[
            (Op::Action, Ran::Rejected(no())),
            (Op::Fence, ok()),
            (Op::Compensate, ok()),
        ],
        &[Outcome::Rejected(no()), Outcome::Fenced, Outcome::Noop],
    );
}

#[test]
fn a_retriable_actions_no_and_any_undos_no_are_not_kept() {
    let retriable = Asked {
        kind: StepKind::Retriable,
        ..asked(Op::Action)
    };
    let no = || Ran::Rejected("not yet".into());
    for asked in [retriable, asked(Op::Compensate)] {
        let conclusion = conclude(asked, &Rows::default(), no());
        assert_eq!(
            conclusion,
            Conclusion::RollBack(Outcome::Rejected("not yet".into()))
        );
    }
}

#[test]
fn an_error_keeps_nothing_and_says_nothing() {
    for op in [Op::Action, Op::Compensate] {
        let conclusion = conclude(asked(op), &Rows::default(), Ran::Error("deadlock".into()));
        assert_eq!(
            conclusion,
            Conclusion::RollBack(Outcome::Unclear("deadlock".into()))
        );
    }
}

#[test]
fn an_undo_is_given_what_the_action_answered() {
    let mut rows = Rows::default();
    carry_out(&mut rows, Op::Action, ok());
    let judged = judge(asked(Op::Compensate), &rows, 0);
    assert_eq!(judged, Judgement::RunUndo(json!({"seat": "7C"})));
}

#[test]
fn what_is_too_old_is_not_carried_out() {
    for op in Op::ALL {
        assert_eq!(judge(asked(op), &Rows::default(), 101), Judgement::Expired);
        assert_ne!(judge(asked(op), &Rows::default(), 100), Judgement::Expired);
    }
}
