//! Messages in Block Kit, by the rules of Slack itself.

use super::*;
use keylane_core::notify::{
    Detail, Message, News, SampleKey, State, TableReport, Verdict, samples,
};
use keylane_parts::slack_takes;

fn entry(message: Message) -> Entry {
    Entry {
        number: 7,
        id: "0a1b2c3d-7".to_owned(),
        message,
        attempts: 1,
        may_have_come: false,
    }
}

#[test]
fn every_message_is_within_slacks_limits_and_short() {
    for message in samples("shop", true) {
        let payload = payload(&entry(message), "machine, keylane 0.1.0");
        slack_takes(&payload.to_string()).expect("Slack takes it");
        let blocks = payload["blocks"].as_array().expect("blocks").len();
        assert!(blocks <= 10, "{blocks}");
        let length = payload.to_string().chars().count();
        assert!(length < 4_000, "{length}: {payload:#}");
    }
}

#[test]
fn whatever_a_report_holds_slack_takes_it() {
    for word in ["x", "&", "<!channel>", "`", "\u{1f600}", "é\n"] {
        let long = word.repeat(400);
        let sample = SampleKey {
            key: long.clone(),
            values: Vec::new(),
        };
        let report = TableReport {
            different: u64::MAX,
            lossy: vec![long.clone(); 30],
            columns: vec![(long.clone(), u64::MAX); 30],
            keys: vec![sample; 30],
            position: long.clone(),
            next: long.clone(),
            ..TableReport::new(Some("shop"), &long, long.clone(), Verdict::Diverged)
        };
        let mut message = samples("shop", false).remove(0);
        for bounded in [report.clone(), report.bounded(true)] {
            message.detail = Detail::Table(Box::new(bounded));
            let payload = payload(&entry(message.clone()), &long);
            slack_takes(&payload.to_string()).expect("Slack takes it");
            let text = payload.to_string();
            assert!(!text.contains("<!channel>"), "{text}");
        }
    }
}

#[test]
fn a_message_reads_in_the_order_that_is_agreed() {
    let message = samples("shop", false).remove(0);
    assert!(matches!(
        message.news,
        News::Changed {
            to: State::Diverged,
            ..
        }
    ));
    let payload = payload(&entry(message), "machine, keylane 0.1.0");
    let blocks = payload["blocks"].as_array().expect("blocks");
    let text = |place: usize| blocks[place]["text"]["text"].as_str().unwrap_or_default();
    assert_eq!(text(0), "[WARNING] shop: public.orders: 42 rows diverged");
    assert_eq!(text(1), "was ok for 2 h 10 min, 12 runs");
    assert_eq!(
        blocks[2]["fields"][0]["text"],
        "*Missing / extra / different*\n`3 / 2 / 37`"
    );
    assert_eq!(
        text(3),
        "*Columns that differ most*\n`total: 30 rows`\n`state: 7 rows`\n`note: 2 rows`\n+1 more"
    );
    assert!(
        text(4).starts_with("*Keys*\n`{\"id\":1007}`\n"),
        "{}",
        text(4)
    );
    assert!(text(4).ends_with("\n+37 more"), "{}", text(4));
    assert!(
        text(5).starts_with("*Next* `keylane reconcile shop"),
        "{}",
        text(5)
    );
    assert_eq!(
        blocks[6]["elements"][0]["text"],
        "run 20261127-090000 · machine, keylane 0.1.0 · message 0a1b2c3d-7"
    );
    assert!(
        !payload.to_string().contains("12.50"),
        "no values unless asked"
    );
}

#[test]
fn a_message_that_may_have_come_before_says_so() {
    let mut entry = entry(samples("shop", false).remove(0));
    (entry.may_have_come, entry.attempts) = (true, 3);
    let text = payload(&entry, "machine").to_string();
    assert!(
        text.contains("attempt 3: an earlier one was not answered"),
        "{text}"
    );
}
