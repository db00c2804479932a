//! The canonical form, the hash, and the pauses of a retry.

use super::*;
use serde_json::json;

fn booking() -> Definition {
    let pay = Participant::Http {
        url: "http://pay".into(),
    };
    let stock = Participant::Kafka {
        topic: "cmd.stock".into(),
    };
    Definition::new("booking", 3)
        .deadline_ms(60_000)
        .step(Step::compensatable(
            "reserve",
            stock,
            "reserve.v1",
            "release.v1",
        ))
        .step(
            Step::pivot("charge", pay, "charge.v1")
                .input(Template::parse(&json!({"seat": "$reserve.seat"})).unwrap())
                .only_if(Condition::parse("$.price>0").unwrap()),
        )
}

#[test]
fn the_canonical_form_tells_everything() {
    let retry = json!({"answer_ms": 10_000, "first_ms": 200, "factor": 2.0, "cap_ms": 30_000, "jitter": 0.2, "attempts_max": null});
    let expect = json!({
        "saga": "booking", "version": 3, "deadline_ms": 60_000, "patience_ms": 600_000,
        "steps": [
            {"id": "reserve", "kind": "compensatable", "kafka": "cmd.stock", "action": "reserve.v1", "undo": "release.v1", "input": "$", "retry": retry},
            {"id": "charge", "kind": "pivot", "http": "http://pay", "action": "charge.v1", "input": {"seat": "$reserve.seat"}, "if": "$.price > 0", "retry": retry},
        ],
    });
    assert_eq!(booking().to_json(), expect);
}

#[test]
fn the_hash_is_of_the_content_and_the_same_for_ever() {
    assert_eq!(booking().hash(), booking().hash());
    assert_ne!(booking().hash(), booking().deadline_ms(60_001).hash());
    let mut other = booking();
    other.steps[1].after = Some(vec![]);
    assert_ne!(booking().hash(), other.hash());
    // Stored beside every saga: another number here means that running sagas lose their definitions.
    assert_eq!(format!("{:016x}", booking().hash()), "0eb6b9ec3d1545f0");
}

#[test]
fn pauses_grow_up_to_the_cap_and_chance_only_shortens_them() {
    let retry = Retry {
        first_ms: 100,
        factor: 3.0,
        cap_ms: 1_000,
        jitter: 0.5,
        ..Retry::default()
    };
    let pauses: Vec<u64> = (1..=5).map(|tries| retry.pause_ms(tries, 0.0)).collect();
    assert_eq!(pauses, [100, 300, 900, 1_000, 1_000]);
    assert_eq!(retry.pause_ms(2, 1.0), 150);
    assert_eq!(retry.pause_ms(u32::MAX, 0.0), 1_000);
}

#[test]
fn each_name_that_is_stored_is_read_back() {
    use crate::saga::{Op, Phase, Said, State, StepStatus, Undone, Verdict};
    for it in StepKind::ALL {
        assert_eq!(StepKind::named(it.code()), Some(it));
    }
    for it in Op::ALL {
        assert_eq!(Op::named(it.code()), Some(it));
    }
    for it in StepStatus::ALL {
        assert_eq!(StepStatus::named(it.code()), Some(it));
    }
    for it in Phase::ALL {
        assert_eq!(Phase::named(it.code()), Some(it));
    }
    for it in State::ALL {
        assert_eq!(State::named(it.code()), Some(it));
    }
    for it in Said::ALL {
        assert_eq!(Said::named(it.code()), Some(it));
    }
    for it in Verdict::ALL {
        assert_eq!(Verdict::named(it.code()), Some(it));
    }
    for it in Undone::ALL {
        assert_eq!(Undone::named(it.code()), Some(it));
    }
    assert_eq!(Op::named("Action"), None);
}
