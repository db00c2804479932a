//! The small sagas.

use keylane_core::saga::{Definition, Participant, Step};

use super::Case;

/// Every case.
pub const CASES: [Case; 8] = [
    case("pivot", pivot),
    case("sequence", sequence),
    case("diamond", diamond),
    case("long", long),
    case("wide", wide),
    Case {
        all_is_refused: true,
        ..case("refused", wide)
    },
    Case {
        all_is_refused: true,
        is_operated: true,
        ..case("operated", pivot)
    },
    Case {
        all_is_refused: true,
        is_operated: true,
        ..case("everything", wide)
    },
];

const fn case(name: &'static str, definition: fn() -> Definition) -> Case {
    Case {
        name,
        definition,
        is_operated: false,
        all_is_refused: false,
    }
}

fn service() -> Participant {
    Participant::Named("service".into())
}

fn can_be_undone(id: &str) -> Step {
    Step::compensatable(id, service(), "do", "undo").timeout_ms(1)
}

/// One that can be undone, the pivot, one that succeeds in the end.
fn pivot() -> Definition {
    Definition::new("pivot", 1)
        .step(can_be_undone("a"))
        .step(Step::pivot("b", service(), "do").timeout_ms(1))
        .step(Step::retriable("c", service(), "do"))
}

/// Three that can be undone.
fn sequence() -> Definition {
    Definition::new("sequence", 1)
        .step(can_be_undone("a"))
        .step(can_be_undone("b"))
        .step(can_be_undone("c"))
}

/// One, two side by side, one.
fn diamond() -> Definition {
    Definition::new("diamond", 1)
        .step(can_be_undone("a"))
        .step(can_be_undone("b").after(["a"]))
        .step(can_be_undone("c").after(["a"]))
        .step(can_be_undone("d").after(["b", "c"]))
}

/// Five that can be undone, the pivot, two that succeed in the end.
fn long() -> Definition {
    ["a", "b", "c", "d", "e"]
        .into_iter()
        .fold(Definition::new("long", 1), |it, id| {
            it.step(can_be_undone(id))
        })
        .step(Step::pivot("f", service(), "do").timeout_ms(1))
        .step(Step::retriable("g", service(), "do"))
        .step(Step::retriable("h", service(), "do"))
}

/// One, three side by side, the pivot, two side by side that succeed in the end.
fn wide() -> Definition {
    ["b", "c", "d"]
        .into_iter()
        .fold(
            Definition::new("wide", 1).step(can_be_undone("a")),
            |it, id| it.step(can_be_undone(id).after(["a"])),
        )
        .step(
            Step::pivot("e", service(), "do")
                .timeout_ms(1)
                .after(["b", "c", "d"]),
        )
        .step(Step::retriable("f", service(), "do").after(["e"]))
        .step(Step::retriable("g", service(), "do").after(["e"]))
}
