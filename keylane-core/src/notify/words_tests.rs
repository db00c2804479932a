//! How messages read.

use super::*;
use crate::notify::message::{Folded, LagFound, ParkedFound, RoadFound, SagasFound, SlotFound};
use crate::notify::report::ValuePair;
use crate::notify::step::Day;
use crate::notify::subject::{Half, Subject, What};

fn report() -> TableReport {
    TableReport {
        rows_origin: 1_234_567,
        rows_replica: 1_234_566,
        missing: 3,
        extra: 2,
        different: 37,
        took_ms: 4_200,
        columns: vec![
            ("total".to_owned(), 30),
            ("state".to_owned(), 7),
            ("note".to_owned(), 1),
            ("at".to_owned(), 1),
        ],
        keys: vec![SampleKey {
            key: "{\"id\":1}".to_owned(),
            values: Vec::new(),
        }],
        position: "0/16B3748".to_owned(),
        next: "keylane reconcile shop --repair".to_owned(),
        ..TableReport::new(Some("shop"), "public.orders", "r7", Verdict::Diverged)
    }
}

fn changed(from: State, to: State, detail: Detail) -> Message {
    let news = News::Changed {
        from,
        to,
        lasted_ms: 7_800_000,
        runs: 3,
    };
    Message {
        subject: Some(Subject {
            pipeline: Some("shop".into()),
            what: What::Table("public.orders".into()),
        }),
        news,
        severity: to.severity(),
        at_us: 0,
        detail,
    }
}

#[test]
fn a_message_says_what_changed_with_its_figures() {
    let message = changed(
        State::Ok,
        State::Diverged,
        Detail::Table(Box::new(report())),
    );
    let expect = "\
[WARNING] shop: public.orders: 42 rows diverged
  was ok for 2 h 10 min, 3 runs
  Missing / extra / different: 3 / 2 / 37
  Rows at origin / replica: 1,234,567 / 1,234,566
  Took: 4.2 s
  At: 0/16B3748
  Columns that differ most:
    total: 30 rows
    state: 7 rows
    note: 1 row
    +1 more
  Keys:
    {\"id\":1}
    +41 more
  → keylane reconcile shop --repair
  run r7
";
    assert_eq!(words(&message).plain(message.severity), expect);
}

#[test]
fn each_state_has_a_title() {
    let check = |from, to, detail: Detail, expect: &str| {
        assert_eq!(words(&changed(from, to, detail)).title, expect);
    };
    let table = |change: &dyn Fn(&mut TableReport)| {
        let mut report = report();
        change(&mut report);
        Detail::Table(Box::new(report))
    };
    let repaired = table(&|report| report.repaired = 42);
    let title = "shop: public.orders: 42 rows diverged, 42 repaired";
    check(State::Diverged, State::Repaired, repaired, title);
    let failed = table(&|report| (report.repaired, report.repair_failed) = (40, 2));
    let title = "shop: public.orders: 42 rows diverged, 40 repaired, 2 could not be";
    check(State::Diverged, State::RepairFailed, failed, title);
    let equal = table(&|_| ());
    check(
        State::Repaired,
        State::Ok,
        equal,
        "shop: public.orders: equal",
    );
    let stalled = table(&|report| report.verdict = Verdict::Stalled);
    let title = "shop: public.orders: not compared: the road does not come through";
    check(State::Ok, State::Stalled, stalled, title);
    let lag = Detail::Lag(LagFound {
        lag_ms: 95_000,
        bound_ms: 60_000,
        changes: Some(1),
    });
    let title = "shop: the replica is 1 min 35 s behind";
    check(State::Ok, State::Lagging, lag.clone(), title);
    let title = "shop: the lag is below 1 min again";
    check(State::Lagging, State::Ok, lag, title);
    let slot = Detail::Slot(SlotFound {
        retained_bytes: 5 << 30,
        room_bytes: 1 << 30,
        grows_bytes_per_s: 1 << 20,
        full_in_ms: Some(3_600_000),
        bound_ms: 0,
    });
    let title = "shop: the origin has no room left in 1 h";
    check(State::Ok, State::Filling, slot, title);
    let parked = |keys| Detail::Parked(ParkedFound { keys, bound: 1 });
    check(State::Ok, State::Parked, parked(1), "shop: 1 key is parked");
    let title = "shop: no key is parked any more";
    check(State::Parked, State::Ok, parked(0), title);
    let sagas = |sagas| {
        let definitions = vec![("travel".to_owned(), sagas)];
        Detail::Sagas(SagasFound {
            sagas,
            bound: 1,
            definitions,
        })
    };
    check(State::Ok, State::Stuck, sagas(1), "shop: 1 saga needs help");
    let title = "shop: no saga needs help any more";
    check(State::Stuck, State::Ok, sagas(0), title);
    let road = Detail::Road(RoadFound {
        half: Half::Apply,
        state: "stopped".to_owned(),
        why: "KL-APPLY-013: too many".to_owned(),
    });
    let title = "shop: apply does not go on: KL-APPLY-013: too many";
    check(State::Ok, State::Stuck, road, title);
}

#[test]
fn values_stand_beside_their_key_where_there_are_any() {
    let mut report = report();
    report.keys[0].values = vec![ValuePair {
        column: "total".to_owned(),
        origin: "9".to_owned(),
        replica: "8".to_owned(),
    }];
    let message = changed(State::Ok, State::Diverged, Detail::Table(Box::new(report)));
    let words = words(&message);
    let keys = words.lists.last().expect("keys");
    let expect = "{\"id\":1} (total: 9 at the origin, 8 at the replica)";
    assert_eq!(keys.items, [expect]);
}

#[test]
fn a_digest_names_what_is_still_not_well() {
    let digest = Digest {
        to_us: 172_800_000_000,
        tables: 12,
        day: Day {
            runs: 24,
            ..Day::default()
        },
        open: vec![OpenLine {
            subject: Subject {
                pipeline: Some("shop".into()),
                what: What::Table("public.orders".into()),
            },
            state: State::Diverged,
            since_us: 86_400_000_000,
            runs: 3,
            words: "42 rows diverged".to_owned(),
        }],
        pipelines: vec![PipelineLine {
            name: "shop".into(),
            state: "streaming".to_owned(),
            why: String::new(),
            lag_ms: Some(1200),
            parked: Some(2),
        }],
        ..Digest::default()
    };
    let text = words(&Message::digest(digest)).plain(Severity::Warning);
    for line in [
        "[WARNING] Keylane: the day's digest",
        "  1 thing is not well.",
        "  Tables compared: 12",
        "    shop: public.orders: still diverged for 1 d, 3rd run: 42 rows diverged",
        "    shop: streaming, 1.2 s behind, 2 parked",
    ] {
        assert!(text.lines().any(|one| one == line), "{line}\n{text}");
    }
    let folded = Folded {
        messages: 1200,
        from_us: 0,
        to_us: 1,
    };
    let title = words(&Message::folded(folded, 2)).title;
    assert_eq!(title, "Keylane: 1,200 messages were folded");
}

#[test]
fn figures_read_as_people_write_them() {
    assert_eq!(count(0), "0");
    assert_eq!(count(999), "999");
    assert_eq!(count(1_000_000), "1,000,000");
    assert_eq!(duration(0), "0 ms");
    assert_eq!(duration(1_250), "1.2 s");
    assert_eq!(duration(60_000), "1 min");
    assert_eq!(duration(3_661_000), "1 h 1 min");
    assert_eq!(duration(90_000_000), "1 d 1 h");
    assert_eq!(bytes(1023), "1023 B");
    assert_eq!(bytes(3 << 29), "1.5 GiB");
    let ordinals = [1, 2, 3, 4, 11, 12, 13, 21, 112].map(ordinal);
    let expect = [
        "1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "112th",
    ];
    assert_eq!(ordinals, expect);
}
