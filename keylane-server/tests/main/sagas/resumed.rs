//! Many sagas in flight when their process dies: the next one takes up all of them.

use std::time::Instant;

use keylane_core::saga::State;
use keylane_parts::PostgresHandle;

use super::bed::{Bed, TRIP, wait};
use super::participants::Manners;
use crate::bed::left_out;

/// Ten thousand where there is time for it.
fn sagas() -> usize {
    match keylane_parts::slow() {
        true => 10_000,
        false => 300,
    }
}

#[test]
fn all_that_was_in_flight_is_taken_up_after_a_kill() {
    if left_out() {
        return;
    }
    let server = PostgresHandle::shared_replica().expect("a PostgreSQL");
    server.fresh_database("sagas_resumed").expect("a database");
    // Nothing is given up meanwhile.
    let patient = TRIP.replace("timeout: 20s", "timeout: 10m");
    let bed = Bed::of(&patient, 17, server.url("sagas_resumed"));
    bed.as_shipped();
    let is_down = Manners {
        is_down: true,
        ..Manners::default()
    };
    for service in ["stock", "seats"] {
        bed.participants.behaves(service, is_down);
    }
    let serving = bed.serve();
    let sagas = sagas();
    bed.begin((0..sagas).map(|number| format!("trip-{number}")));
    wait("every saga to be under way", || {
        bed.list(&[]).len() == sagas && bed.participants.commands() > 0
    });
    serving.kill9();
    let before = bed.participants.commands();
    for service in ["stock", "seats"] {
        bed.participants.behaves(service, Manners::default());
    }
    let began = Instant::now();
    let serving = bed.serve();
    wait("every saga to be asked about again", || {
        bed.participants.asked_since(before) == sagas
    });
    let resumed = began.elapsed();
    wait("all sagas to end", || bed.list(&[]).is_empty());
    eprintln!(
        "{sagas} sagas in flight: all taken up {:.1} s after the start, ended after {:.1} s",
        resumed.as_secs_f64(),
        began.elapsed().as_secs_f64()
    );
    serving.terminate();
    assert_eq!(bed.list(&[State::Completed]).len(), sagas);
    let effects = bed.participants.effects();
    assert_eq!(effects.len(), 5 * sagas);
    assert!(effects.values().all(|counts| *counts == (1, 0)));
}
