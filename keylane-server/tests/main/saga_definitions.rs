//! What the definition of a saga accepts, what is said about mistakes, and that pages and examples agree with it.

use std::fs;
use std::path::{Path, PathBuf};

use keylane_core::saga::{Participant, Plan, StepKind};
use keylane_server::config::{Code, ConfigError, parse_saga, saga_keys, saga_reference_markdown};

use crate::config::check_golden;

pub(crate) fn repository() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    root.expect("the crate stands in the workspace").to_owned()
}

pub(crate) fn golden_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/saga_mistakes")
}

pub(crate) fn travel() -> String {
    fs::read_to_string(repository().join("examples/sagas/travel.yaml")).expect("the example")
}

fn parse(text: &str) -> Result<Plan, ConfigError> {
    parse_saga(text, "saga.yaml")
}

/// Line and code of each mistake.
fn check_mistakes(text: &str, expect: &[(u32, &str)]) {
    let error = parse(text).expect_err("it is wrong");
    let found: Vec<_> = error
        .problems()
        .iter()
        .map(|it| (it.line, it.code.as_str()))
        .collect();
    assert_eq!(found, expect, "{error}");
}

#[test]
fn the_example_is_right_and_says_what_it_looks_like() {
    let plan = parse(&travel()).expect("the example is right");
    let definition = plan.definition();
    assert_eq!(
        (definition.name.as_str(), definition.version),
        ("travel", 1)
    );
    assert_eq!(definition.deadline_ms, Some(600_000));
    let kinds: Vec<StepKind> = definition.steps.iter().map(|step| step.kind).collect();
    let undone = StepKind::Compensatable;
    assert_eq!(
        kinds,
        [undone, undone, StepKind::Pivot, StepKind::Retriable]
    );
    let payment = &definition.steps[2];
    assert_eq!(payment.timeout_ms, Some(30_000));
    assert_eq!(payment.retry.first_ms, 500);
    assert_eq!(payment.retry.cap_ms, 5_000);
    assert_eq!(payment.retry.attempts_max, Some(6));
    // What is not written has its default.
    assert_eq!(payment.retry.answer_ms, 10_000);
    assert_eq!(plan.before(2), [0, 1]);
    assert_eq!(plan.before(1), [0_usize; 0]);
    let flights = Participant::Kafka {
        topic: "cmd.flights".to_owned(),
    };
    assert_eq!(definition.steps[0].participant, flights);
    let condition = definition.steps[3]
        .condition
        .as_ref()
        .map(ToString::to_string);
    let expect = "$.notify and exists $.traveller.mail".to_owned();
    assert_eq!(condition, Some(expect));
}

#[test]
fn the_canonical_form_is_read_back_with_the_same_hash() {
    let read = parse(&travel()).expect("the example is right");
    let form = read.definition().to_json();
    for text in [form.to_string(), format!("{form:#}")] {
        let again = parse(&text).expect("the canonical form is right");
        assert_eq!(again.definition(), read.definition());
        assert_eq!(again.hash(), read.hash());
    }
}

#[test]
fn the_hash_of_a_written_definition_stays() {
    // Stored beside every saga: another number here means that running sagas lose their definitions.
    let plan = parse(&travel()).expect("the example is right");
    assert_eq!(format!("{:016x}", plan.hash()), "6a528e1d26a2c996");
}

#[test]
fn values_of_input_are_what_they_are_in_json() {
    let text = travel().replace(
        "{ to: $.traveller.mail, seat: $flight.seat, room: $hotel.room }",
        "{ a: 1, b: '1', c: 1.5, d: true, e: 'true', f: null, g: ~, h: 010, i: [x, -3], j: $$x, k: {}, l: yes, m: -0 }",
    );
    let plan = parse(&text).expect("it is right");
    let expect = serde_json::json!({
        "a": 1, "b": "1", "c": 1.5, "d": true, "e": "true", "f": null, "g": null, "h": "010", "i": ["x", -3], "j": "$$x", "k": {}, "l": "yes", "m": -0.0,
    });
    assert_eq!(plan.definition().steps[3].input.to_json(), expect);
}

#[test]
fn what_stands_in_place_of_an_unread_value_is_not_told_as_a_mistake_of_its_own() {
    let step = "  - { id: a, kind: compensatable, kafka: a, action: a, ";
    // Not also: no undo, no time-out, no deadline.
    check_mistakes(
        &format!("saga: s\nversion: 1\nsteps:\n{step} ndo: b }}\n"),
        &[(4, "KL-CONFIG-006")],
    );
    check_mistakes(
        &format!("saga: s\nversion: 1\ndeadline: soon\nsteps:\n{step} undo: b }}\n"),
        &[(3, "KL-CONFIG-009")],
    );
    // But what another field breaks is.
    check_mistakes(
        &format!("saga: s\nversion: 1\nsteps:\n{step} undo: b, timeout: 0s, input: $. }}\n"),
        &[(4, "KL-SAGA-015"), (4, "KL-SAGA-016")],
    );
}

#[test]
fn a_part_of_a_field_is_pointed_at() {
    let error = parse(
        &fs::read_to_string(golden_dir().join("S11_reply_not_there.yaml")).expect("it is there"),
    );
    let error = error.expect_err("three paths lead nowhere");
    let places: Vec<(u32, u32)> = error
        .problems()
        .iter()
        .map(|it| (it.line, it.column))
        .collect();
    assert_eq!(places, [(11, 12), (12, 23), (18, 33)], "{error}");
}

#[test]
fn the_guide_holds_the_tables_and_the_examples_that_the_program_reads() {
    let marks = (
        "<!-- tables: written by the tests, see UPDATE_GOLDEN -->\n",
        "<!-- end of tables -->",
    );
    let page = check_tables(marks, &saga_reference_markdown(), &saga_keys());
    let block = |language: &str| {
        let opened = page.split_once(&format!("```{language}\n")).map(|it| it.1);
        opened
            .and_then(|rest| rest.split_once("```"))
            .map(|it| it.0)
    };
    assert_eq!(block("yaml"), Some(travel().as_str()));
    let json = block("json").expect("a canonical form");
    parse(json).expect("the canonical form of the guide is right");
}

#[test]
fn a_large_file_ends_within_bounds() {
    let began = std::time::Instant::now();
    let head = "saga: s\nversion: 1\ndeadline: 1m\nsteps:\n";
    let mut steps: String = (0..1_000)
        .map(|n| format!("  - {{ id: s{n}, kind: compensatable, kafka: a, action: a, undo: b }}\n"))
        .collect();
    let plan = parse(&format!("{head}{steps}")).expect("a thousand steps are right");
    assert_eq!(plan.definition().steps.len(), 1_000);
    steps.push_str(&steps.replace("id: s", "id: t"));
    steps.push_str("  - { id: one, kind: pivot, kafka: a, action: a }\n");
    check_mistakes(&format!("{head}{steps}"), &[(4, "KL-SAGA-002")]);
    // A circle of two thousand, and as many paths as fit.
    let circle: String = (0..2_000)
        .map(|n| format!("  - {{ id: s{n}, kind: compensatable, kafka: a, action: a, undo: b, after: [s{}] }}\n", (n + 1) % 2_000))
        .collect();
    let error = parse(&format!("{head}{circle}")).expect_err("a circle");
    assert!(error.problems().len() <= 200);
    let paths = "$x.y, ".repeat(150_000);
    let text =
        format!("{head}  - {{ id: a, kind: pivot, kafka: a, action: a, input: [{paths}] }}\n");
    let error = parse(&text).expect_err("too many paths lead nowhere");
    assert!(error.to_string().lines().count() < 400);
    let keys: String = (0..90_000).map(|n| format!("k{n}: 1\n")).collect();
    parse(&format!("{head}{keys}")).expect_err("unknown keys");
    parse(&"[".repeat(100_000)).expect_err("too deep");
    parse(&"{a: ".repeat(100_000)).expect_err("too deep");
    let mut aliases = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for level in 1..12 {
        let before = format!("*a{}, ", level - 1).repeat(10);
        aliases.push_str(&format!("a{level}: &a{level} [{before}]\n"));
    }
    let error = parse(&aliases).expect_err("10^12 values");
    assert_eq!(error.problems()[0].code, Code::TooComplex);
    assert!(began.elapsed() < std::time::Duration::from_secs(60));
}

#[test]
fn what_a_message_quotes_is_bounded_and_printable() {
    let id = "\\e[31m".repeat(5_000);
    let step = format!(
        "{{ id: \"{id}\", kind: pivot, kafka: a, action: a, if: \"{id}\", after: [\"{id}\"] }}"
    );
    let text = format!("saga: \"{id}\"\nversion: 1\nsteps: [{step}, {step}]\n");
    let error = parse(&text).expect_err("no such names");
    let shown = error.to_string();
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
    assert!(shown.len() < 20_000, "{} bytes", shown.len());
}

/// Between these marks the guide holds these tables, with every key; the page.
pub(crate) fn check_tables((begin, end): (&str, &str), tables: &str, keys: &[String]) -> String {
    let path = repository().join("docs/guides/sagas.md");
    let page = fs::read_to_string(&path).expect("the guide");
    let (before, rest) = page.split_once(begin).expect("the tables begin");
    let (_, after) = rest.split_once(end).expect("the tables end");
    let expected = format!("{before}{begin}\n{tables}{end}{after}");
    check_golden(&path, &expected).expect("the guide agrees with the program");
    for key in keys {
        assert!(expected.contains(&format!("| `{key}` |")), "{key}");
    }
    page
}
