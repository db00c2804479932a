//! The cases: what every participant answers, and what takes effect, whatever the order and the number of commands.

use futures_util::future::join_all;
use keylane_core::saga::{Op, Outcome, StepKind};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use serde_json::{Value, json};

use super::commands::{Asked, asking, command};

/// What the step answers when it takes effect.
fn done(saga: &str) -> Value {
    json!({"counted": saga})
}

/// Every case on sagas that begin with `name`.
pub async fn all(name: &str, asked: &dyn Asked) {
    repeats(&format!("{name}-repeats"), asked).await;
    undo_first(&format!("{name}-undo-first"), asked).await;
    fence_first(&format!("{name}-fence-first"), asked).await;
    a_no(&format!("{name}-no"), asked).await;
    a_no_of_what_must_succeed(&format!("{name}-retriable"), asked).await;
    an_error(&format!("{name}-error"), asked).await;
    too_late(&format!("{name}-late"), asked).await;
}

/// Asked for this operation, the participant answers so.
async fn answers(asked: &dyn Asked, saga: &str, op: Op, expect: Outcome) {
    let name = format!("{saga}: {}", op.code());
    assert_eq!(asked.ask(asking(saga, op)).await, expect, "{name}");
}

async fn repeats(saga: &str, asked: &dyn Asked) {
    for _ in 0..3 {
        answers(asked, saga, Op::Action, Outcome::Ok(done(saga))).await;
    }
    assert_eq!(asked.effects(saga).await, (1, 0), "{saga}");
    let fenced = asked.ask(asking(saga, Op::Fence)).await;
    assert_eq!(
        fenced,
        Outcome::Done(done(saga)),
        "a fence learns that it was done"
    );
    for _ in 0..3 {
        let outcome = asked.ask(asking(saga, Op::Compensate)).await;
        // The undo was given what the action answered.
        assert_eq!(outcome, Outcome::Ok(json!({"took": done(saga)})), "{saga}");
    }
    assert_eq!(asked.effects(saga).await, (1, 1), "{saga}");
    let late = asked.ask(asking(saga, Op::Action)).await;
    assert_eq!(
        late,
        Outcome::Ok(done(saga)),
        "a late repeat says what was said"
    );
    assert_eq!(asked.effects(saga).await, (1, 1), "{saga}");
}

async fn undo_first(saga: &str, asked: &dyn Asked) {
    for _ in 0..2 {
        answers(asked, saga, Op::Compensate, Outcome::Noop).await;
        answers(asked, saga, Op::Action, Outcome::Fenced).await;
        answers(asked, saga, Op::Fence, Outcome::Fenced).await;
    }
    assert_eq!(asked.effects(saga).await, (0, 0), "{saga}");
}

async fn fence_first(saga: &str, asked: &dyn Asked) {
    for _ in 0..2 {
        answers(asked, saga, Op::Fence, Outcome::Fenced).await;
        answers(asked, saga, Op::Action, Outcome::Fenced).await;
    }
    answers(asked, saga, Op::Compensate, Outcome::Noop).await;
    assert_eq!(asked.effects(saga).await, (0, 0), "{saga}");
}

/// The step writes before it says no; that is taken back, and the no stands.
async fn a_no(saga: &str, asked: &dyn Asked) {
    let no = Outcome::Rejected("no".to_owned());
    let first = asked
        .ask(command(saga, Op::Action, json!({"end": "no"})))
        .await;
    assert_eq!(first, no, "{saga}");
    assert_eq!(
        asked.ask(asking(saga, Op::Action)).await,
        no,
        "a no stands for ever"
    );
    answers(asked, saga, Op::Fence, Outcome::Fenced).await;
    answers(asked, saga, Op::Compensate, Outcome::Noop).await;
    assert_eq!(asked.effects(saga).await, (0, 0), "{saga}");
}

async fn a_no_of_what_must_succeed(saga: &str, asked: &dyn Asked) {
    let retriable = |end: &str| {
        let mut command = command(saga, Op::Action, json!({"end": end}));
        command.kind = StepKind::Retriable;
        command
    };
    assert_eq!(
        asked.ask(retriable("no")).await,
        Outcome::Rejected("no".to_owned()),
        "{saga}"
    );
    assert_eq!(asked.effects(saga).await, (0, 0), "{saga}");
    assert_eq!(
        asked.ask(retriable("ok")).await,
        Outcome::Ok(done(saga)),
        "{saga}"
    );
    assert_eq!(asked.effects(saga).await, (1, 0), "{saga}");
}

async fn an_error(saga: &str, asked: &dyn Asked) {
    let failing = command(saga, Op::Action, json!({"end": "error"}));
    let outcome = asked.ask(failing).await;
    assert!(
        matches!(outcome, Outcome::Unclear(_)),
        "{saga}: {outcome:?}"
    );
    assert_eq!(asked.effects(saga).await, (0, 0), "{saga}");
    answers(asked, saga, Op::Action, Outcome::Ok(done(saga))).await;
    assert_eq!(asked.effects(saga).await, (1, 0), "{saga}");
}

async fn too_late(saga: &str, asked: &dyn Asked) {
    let mut late = asking(saga, Op::Action);
    late.expires_us = 1_000_000;
    let outcome = asked.ask(late).await;
    assert!(
        matches!(outcome, Outcome::Unclear(_)),
        "{saga}: {outcome:?}"
    );
    assert_eq!(asked.effects(saga).await, (0, 0), "{saga}");
    answers(asked, saga, Op::Action, Outcome::Ok(done(saga))).await;
}

/// Commands of many sagas, each operation several times, all at once and in any order.
pub async fn storm(name: &str, asked: &dyn Asked, sagas: usize, seed: u64) {
    const TIMES: usize = 4;
    let ops = [Op::Action, Op::Compensate, Op::Fence];
    let saga = |number: usize| format!("{name}-storm-{number}");
    let mut all: Vec<(usize, Op)> = (0..sagas * TIMES * 3)
        .map(|n| (n % sagas, ops[n / sagas % 3]))
        // Of some sagas nothing is undone, of some nothing is fenced.
        .filter(|(number, op)| {
            !matches!((number % 4, op), (0, Op::Compensate) | (0 | 1, Op::Fence))
        })
        .collect();
    all.shuffle(&mut StdRng::seed_from_u64(seed));
    let calls = all.iter().map(|(number, op)| {
        let command = asking(&saga(*number), *op);
        async move { asked.ask(command).await }
    });
    let answers = join_all(calls).await;
    for number in 0..sagas {
        let of = |wanted: Op| {
            let both = all.iter().zip(&answers);
            let own = both.filter(|((at, op), _)| *at == number && *op == wanted);
            own.map(|(_, answer)| answer.clone()).collect::<Vec<_>>()
        };
        let (actions, undos, fences) = (of(Op::Action), of(Op::Compensate), of(Op::Fence));
        let name = saga(number);
        let (did, undid) = asked.effects(&name).await;
        let is_done = did == 1;
        assert!(
            did <= 1 && undid <= did,
            "{name}: {did} effects, {undid} undone"
        );
        for (answers, done, not) in [
            (&actions, Outcome::Ok(done(&name)), Outcome::Fenced),
            (
                &undos,
                Outcome::Ok(json!({"took": done(&name)})),
                Outcome::Noop,
            ),
            (&fences, Outcome::Done(done(&name)), Outcome::Fenced),
        ] {
            let expect = if is_done { done } else { not };
            // A fence that came before the action and one that came after it cannot both be: whichever was first stands.
            assert!(
                answers.iter().all(|answer| *answer == expect),
                "{name}: {answers:?}"
            );
        }
        assert_eq!(undid, u64::from(is_done && !undos.is_empty()), "{name}");
    }
    eprintln!("{} calls at once, {} of {sagas} sagas done", all.len(), {
        let mut count = 0;
        for number in 0..sagas {
            count += asked.effects(&saga(number)).await.0;
        }
        count
    });
}
