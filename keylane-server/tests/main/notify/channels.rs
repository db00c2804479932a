//! `keylane notify test`: what a channel answered, in words and exit codes.

use keylane_parts::Behaviour;

use super::bed::{Bed, titles};

#[test]
fn a_test_says_what_the_channel_answered() {
    let mut bed = Bed::new(Behaviour::Slack);
    let check = |bed: &Bed, behaviour: Behaviour, code: i32, answer: &str, why: &str| {
        bed.slack.from_now_on(behaviour);
        let ended = bed.run(&["notify", "test", "ops", "--format", "json"]);
        assert_eq!(ended.code, Some(code), "{}{}", ended.stdout, ended.stderr);
        let told: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON");
        assert_eq!(told["answer"], answer, "{told}");
        let words = told["why"].as_str().unwrap_or_default();
        assert!(words.contains(why), "{told}");
        let text = bed.run(&["notify", "test", "ops"]);
        assert_eq!(text.code, Some(code), "{}", text.stderr);
        assert!(text.stdout.contains(why), "{}", text.stdout);
    };
    check(&bed, Behaviour::Slack, 0, "taken", "");
    let title = "Keylane: a test of this channel";
    assert_eq!(titles(&bed.slack.taken()), [title, title]);
    let no_service = Behaviour::Answer(404, "no_service", None);
    check(&bed, no_service, 1, "refused", "HTTP 404: no_service");
    check(
        &bed,
        Behaviour::Answer(429, "", Some(30)),
        1,
        "later",
        "HTTP 429",
    );
    check(
        &bed,
        Behaviour::Answer(503, "", None),
        1,
        "later",
        "HTTP 503",
    );
    check(&bed, Behaviour::DieInBody, 0, "taken", "");
    check(&bed, Behaviour::DieUnanswered, 4, "unknown", "error");
    check(&bed, Behaviour::Hang, 4, "unknown", "no answer within 10 s");
    bed.slack.close();
    check(&bed, Behaviour::Slack, 4, "away", "refused");
    assert!(bed.outbox().is_empty(), "a test is not kept");
}

#[test]
fn a_channel_that_is_not_there_is_a_mistake_of_usage() {
    let bed = Bed::new(Behaviour::Slack);
    let ended = bed.run(&["notify", "test", "opps"]);
    assert_eq!(ended.code, Some(2));
    assert!(
        ended.stderr.contains("no channel opps") && ended.stderr.contains("ops"),
        "{}",
        ended.stderr
    );
    let pipeline = bed.site.sqlite_pipeline();
    bed.site.configure("", pipeline);
    let ended = bed.run(&["notify", "test", "ops"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("notify.channels"), "{}", ended.stderr);
    assert!(bed.slack.received().is_empty());
}
