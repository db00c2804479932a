//! What a choreography accepts, every mistake as it is told, and that pages and examples agree with it.

use std::fs;
use std::path::{Path, PathBuf};

use keylane_core::saga::ChoreographyRule;
use keylane_server::config::{
    Code, SagaFile, choreography_keys, choreography_reference_markdown, load_choreography,
    load_saga, load_saga_file, parse_choreography,
};

use crate::saga_definitions::{check_tables, repository};
use crate::saga_mistakes::{check_mistakes, check_pages, yaml_files};

fn mistakes() -> Vec<PathBuf> {
    yaml_files(&folder())
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/choreography_mistakes")
}

fn example() -> PathBuf {
    repository().join("examples/choreographies/order.yaml")
}

#[test]
fn the_example_is_right_and_says_what_it_looks_like() {
    let order = load_choreography(&example()).expect("the example is right");
    assert_eq!(order.name, "order");
    assert_eq!(order.topics.len(), 4);
    assert_eq!(order.signal_topics(), ["saga.signal"]);
    assert_eq!(order.begins, ["order.placed.v1"]);
    assert_eq!(order.patience.step_ms, 600_000);
    assert_eq!(order.patience.undo_ms, 300_000);
    let emits: Vec<_> = order.steps.iter().flat_map(|it| &it.emits).collect();
    assert_eq!(
        emits,
        ["stock.reserved.v1", "payment.charged.v1", "shipping.done"]
    );
}

#[test]
fn a_file_is_taken_for_what_its_first_key_says() {
    let read = load_saga_file(&example()).expect("it is right");
    assert!(matches!(read, SagaFile::Choreography(_)));
    let driven = repository().join("examples/sagas/travel.yaml");
    let read = load_saga_file(&driven).expect("it is right");
    assert!(matches!(read, SagaFile::Orchestration(_)));
    // In the list of the other style it is told where it belongs.
    let error = load_saga(&example()).expect_err("it is no driven saga");
    assert!(error.to_string().contains("saga.choreographies"), "{error}");
    let error = load_choreography(&driven).expect_err("it is no choreography");
    assert!(error.to_string().contains("saga.definitions"), "{error}");
}

#[test]
fn what_is_not_said_to_be_in_a_circle_is_in_none() {
    // Two branches that come together, each of any length.
    let text = "choreography: c\ntopics: [t]\nbegins: [go]\nsteps:\n  - { id: a, consumes: [go] }\n  - { id: b, consumes: [a.done] }\n  - { id: c, consumes: [a.done, b.done] }\n";
    parse_choreography(text, "c.yaml").expect("it is right");
}

#[test]
fn every_mistake_of_a_choreography_is_told_as_recorded() {
    let load = |path: &Path| load_choreography(path).map(drop);
    let codes = check_mistakes(&mistakes(), load);
    let all = ChoreographyRule::ALL.into_iter().map(Code::Choreography);
    let missing: Vec<_> = all.filter(|code| !codes.contains(code)).collect();
    assert!(missing.is_empty(), "without a golden mistake: {missing:?}");
}

#[test]
fn every_code_has_a_page_with_a_mistake_as_it_is_told() {
    let codes = ChoreographyRule::ALL.into_iter().map(Code::Choreography);
    let codes: Vec<&str> = codes.map(|code| code.as_str()).collect();
    check_pages(&codes, &mistakes());
}

#[test]
fn the_guide_holds_the_tables_and_the_example_that_the_program_reads() {
    let marks = (
        "<!-- choreography tables: written by the tests, see UPDATE_GOLDEN -->\n",
        "<!-- end of choreography tables -->",
    );
    let page = check_tables(
        marks,
        &choreography_reference_markdown(),
        &choreography_keys(),
    );
    let example = fs::read_to_string(example()).expect("the example");
    assert!(
        page.contains(&format!("```yaml\n{example}```")),
        "the example"
    );
}
