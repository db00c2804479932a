//! Ends: what a process had to tell is told or kept, and the end waits for nobody.

use std::time::Duration;

use keylane_parts::Behaviour;

use super::bed::{Bed, titles};

#[test]
fn a_job_tells_what_it_parked_before_it_ends() {
    let bed = Bed::new(Behaviour::Slack);
    bed.bad_customer(7);
    let ended = bed.run(&["run", "-vv", "--until-caught-up"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(titles(&bed.slack.received()), ["shop: 1 key is parked"]);
    assert!(bed.outbox().is_empty());
}

#[test]
fn an_outage_of_slack_neither_fails_a_job_nor_hides_what_it_found() {
    for behaviour in [
        Behaviour::Answer(500, "", None),
        Behaviour::Answer(429, "", Some(3600)),
        Behaviour::Hang,
        Behaviour::DieUnread,
    ] {
        let bed = Bed::new(behaviour.clone());
        bed.bad_customer(7);
        let ended = bed.run(&["run", "--until-caught-up"]);
        assert_eq!(ended.code, Some(0), "{behaviour:?}: {}", ended.stderr);
        let bound = Duration::from_secs(60);
        assert!(ended.took < bound, "{behaviour:?}: {:?}", ended.took);
        let outbox = bed.outbox();
        assert_eq!(outbox.len(), 1, "{behaviour:?}: {outbox:?}");
        assert_eq!(outbox[0]["state"], "waiting");
        let why = outbox[0]["why"].as_str().unwrap_or_default();
        assert!(why.starts_with("KL-NOTIFY-001: "), "{behaviour:?}: {why}");
        assert!(ended.stderr.contains("KL-NOTIFY-001"), "{}", ended.stderr);
    }
}

#[test]
fn a_pipeline_that_ends_with_an_error_is_told_with_its_code_and_once_over_restarts() {
    let bed = Bed::new(Behaviour::Slack);
    let limits = "    apply: { on_error: { retry: 0 }, parked_keys_max: 1 }";
    bed.configure("  rules: { parked: { tell: false } }", limits);
    for id in 7..10 {
        bed.bad_customer(id);
    }
    for _ in 0..2 {
        let ended = bed.run(&["run"]);
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    }
    let titles = titles(&bed.slack.taken());
    assert_eq!(titles.len(), 1, "{titles:?}");
    let title = "shop: apply does not go on: ";
    assert!(titles[0].starts_with(title), "{titles:?}");
    assert!(titles[0].contains("KL-APPLY-013"), "{titles:?}");
}

#[test]
fn an_outbox_that_cannot_be_used_does_not_keep_the_road_from_its_work() {
    let bed = Bed::new(Behaviour::Slack);
    std::fs::create_dir_all(bed.site.path(".keylane/notify.db")).expect("a folder in its place");
    let ended = bed.run(&["run", "--until-caught-up"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(bed.site.replicated(), 2);
    assert!(ended.stderr.contains("KL-NOTIFY-003"), "{}", ended.stderr);
    let status = bed.run(&["status"]);
    assert!(status.stdout.contains("KL-NOTIFY-003"), "{}", status.stdout);
}
