//! What comparisons find is told: each change of a table's state once, keys only.

use keylane_parts::Behaviour;

use super::bed::Bed;

#[test]
fn a_table_that_diverges_is_mended_and_is_well_again_is_told_in_three_messages() {
    let bed = Bed::new(Behaviour::Slack);
    let road = bed.start(&[], "run.log");
    bed.sql(
        "origin.db",
        "INSERT INTO customers VALUES (101, 'a rowmarker'), (102, 'b')",
    );
    bed.wait("both to be applied", || bed.site.replicated() >= 2);
    let compare = |more: &[&str], code: i32| {
        let ended = bed.run(&[&["reconcile", "--format", "json"], more].concat());
        assert_eq!(ended.code, Some(code), "{}{}", ended.stdout, ended.stderr);
    };
    // Well from the beginning: nothing is told.
    compare(&[], 0);
    assert_eq!(bed.slack.received().len(), 0);
    bed.sql(
        "replica.db",
        "UPDATE customers SET name = 'rogue rowmarker' WHERE id = 101",
    );
    compare(&[], 3);
    let told = bed.wait_taken(1);
    assert!(
        told[0].contains("customers") && told[0].contains("diverged"),
        "{told:?}"
    );
    // Found again: counted, not told again. A part of the table says nothing of the table.
    compare(&[], 3);
    compare(&["--where", "id = 102"], 0);
    compare(&["--no-notify"], 3);
    compare(&["--repair"], 0);
    let told = bed.wait_taken(2);
    assert!(told[1].contains("repaired"), "{told:?}");
    compare(&[], 0);
    assert_eq!(bed.wait_taken(3).len(), 3);
    bed.terminate(road, "run.log");
    let received = bed.slack.received();
    assert_eq!(received.len(), 3);
    assert!(
        received[0].body.contains("101"),
        "the key is told: {}",
        received[0].body
    );
}
