//! One key, one event, one answer.

use super::*;

const KEPT: Duration = Duration::from_secs(10);

fn store(folder: &tempfile::TempDir, keys_max: u64) -> Store {
    let limits = AcceptLimits {
        keys_kept: KEPT,
        keys_max,
    };
    Store::open(&folder.path().join("events.db"), "keylane_outbox", limits).expect("a file")
}

fn offer(key: &str, body: &str) -> Offer {
    Offer {
        key: key.to_owned(),
        event: OutboxEvent::new("orders", "order.placed.v1").payload("text/plain", body.to_owned()),
    }
}

fn taken(store: &mut Store, offer: &Offer, now_ms: i64) -> Accepted {
    let taken = store.take(std::slice::from_ref(offer), now_ms);
    let mut answers = taken.expect("the file takes it");
    answers.pop().expect("one answer").expect("it is an event")
}

fn rows(store: &Store) -> u64 {
    let sql = "SELECT count(*) FROM keylane_outbox";
    store
        .connection
        .query_row(sql, [], |row| row.get(0))
        .expect("a number")
}

#[test]
fn a_repeat_gets_the_first_answer_over_a_restart_and_another_event_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut first = store(&folder, 100);
    let Accepted::Now(answer) = taken(&mut first, &offer("k", "a"), 0) else {
        unreachable!("it is new");
    };
    drop(first);
    let mut second = store(&folder, 100);
    let mut again = offer("k", "a");
    again.event.id = Some("made anew".to_owned());
    assert_eq!(taken(&mut second, &again, 1), Accepted::Before(answer));
    assert_eq!(
        taken(&mut second, &offer("k", "b"), 1),
        Accepted::OtherEvent
    );
    let mut elsewhere = offer("k", "b");
    elsewhere.event.topic = "payments".to_owned();
    assert!(matches!(
        taken(&mut second, &elsewhere, 1),
        Accepted::Now(_)
    ));
    assert_eq!(rows(&second), 2);
}

#[test]
fn of_two_of_one_key_in_one_transaction_the_first_counts() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = store(&folder, 100);
    let both = [offer("k", "a"), offer("k", "a"), offer("k", "b")];
    let answers = store.take(&both, 0).expect("the file takes them");
    let words: Vec<_> = answers.into_iter().map(|it| it.expect("events")).collect();
    assert!(matches!(
        words.as_slice(),
        [Accepted::Now(one), Accepted::Before(other), Accepted::OtherEvent] if one == other
    ));
    assert_eq!(rows(&store), 1);
}

#[test]
fn keys_are_forgotten_after_their_time_and_never_more_than_so_many_are_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = store(&folder, 2);
    let kept_ms = KEPT.as_millis() as i64;
    for key in ["a", "b"] {
        assert!(matches!(
            taken(&mut store, &offer(key, "x"), 0),
            Accepted::Now(_)
        ));
    }
    assert_eq!(taken(&mut store, &offer("c", "x"), kept_ms), Accepted::Full);
    assert!(matches!(
        taken(&mut store, &offer("a", "x"), kept_ms),
        Accepted::Before(_)
    ));
    assert!(matches!(
        taken(&mut store, &offer("c", "x"), kept_ms + 1),
        Accepted::Now(_)
    ));
    assert!(matches!(
        taken(&mut store, &offer("a", "y"), kept_ms + 1),
        Accepted::Now(_)
    ));
}

#[test]
fn what_is_no_event_takes_nothing_and_hinders_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = store(&folder, 100);
    let mut unfit = offer("k", "a");
    unfit
        .event
        .headers
        .push(("keylane".to_owned(), "1".to_owned()));
    let answers = store
        .take(&[unfit, offer("l", "a")], 0)
        .expect("the file takes them");
    assert!(matches!(answers.as_slice(), [Err(error), Ok(Accepted::Now(_))] if error.is_final));
    assert_eq!(rows(&store), 1);
}
