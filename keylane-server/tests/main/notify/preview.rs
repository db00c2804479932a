//! `keylane notify preview`: every kind of message, sent nowhere.

use std::collections::BTreeSet;

use keylane_parts::{Behaviour, slack_takes};

use super::bed::Bed;
use crate::site::Site;

#[test]
fn every_kind_of_message_is_shown_and_slack_would_take_it() {
    let bed = Bed::new(Behaviour::Slack);
    let told = bed.json(&["notify", "preview", "--format", "json"]);
    let messages = told["messages"].as_array().expect("a list");
    let mut kinds = BTreeSet::new();
    for message in messages {
        let slack = message["slack"].to_string();
        assert_eq!(slack_takes(&slack), Ok(()), "{slack}");
        assert_eq!(message["webhook"]["specversion"], "1.0");
        let word = |field: &str| message[field].as_str().unwrap_or("-").to_owned();
        kinds.insert(format!(
            "{} {} {}",
            word("news"),
            word("subject"),
            word("to")
        ));
    }
    for kind in [
        "changed table diverged",
        "changed table repaired",
        "changed table repair_failed",
        "changed table ok",
        "changed table stalled",
        "changed table failed",
        "changed lag lagging",
        "changed lag ok",
        "changed slot filling",
        "changed parked parked",
        "changed apply stuck",
        "changed capture stuck",
        "flapping table diverged",
        "settled table diverged",
        "digest - -",
        "folded - -",
        "test - -",
    ] {
        assert!(kinds.contains(kind), "{kind}: {kinds:?}");
    }
    assert!(bed.slack.received().is_empty());
}

#[test]
fn a_preview_needs_no_configuration() {
    let site = Site::new();
    let ended = site.run(&["notify", "preview"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for line in [
        "[WARNING] shop: public.orders: 42 rows diverged",
        "[NOTICE] shop: public.orders: 42 rows diverged, 42 repaired",
        "[CRITICAL] shop: public.orders: 42 rows diverged, 40 repaired, 2 could not be",
        "[OK] shop: public.orders: equal",
        "[CRITICAL] shop: apply does not go on: the replica is away: KL-APPLY-001",
    ] {
        assert!(
            ended.stdout.lines().any(|one| one == line),
            "{line}:\n{}",
            ended.stdout
        );
    }
}
