//! Choreographed sagas over the whole road: three services hear each other over Kafka while the capturer of all three is killed.

use keylane_parts::wait_until;

use super::services::Services;
use crate::bed::{PATIENCE, left_out};
use crate::running::Running;

const SAGAS: usize = 60;

/// Kills the capturer of all four times, each time after something more has taken effect, and brings it back; `last` effects are all there will be.
fn kill_while_they_work(services: &Services, mut road: Running, last: usize) -> Running {
    for _ in 0..4 {
        let before = services.all_effects();
        services.beds[0].wait(&road, "more to take effect", || {
            let now = services.all_effects();
            now > before || now == last
        });
        road.kill9();
        road = services.beds[0].start(&["--only", "capture"]);
    }
    road
}

#[test]
fn services_that_hear_each_other_do_and_undo_once_while_their_capturer_is_killed() {
    if left_out() {
        return;
    }
    let names = ["choreo_stock", "choreo_payment", "choreo_shipping"];
    let services = Services::start(names, "choreo.events", &[]);
    let mut road = services.capture();
    services.place(&format!(
        "select 's' || n from generate_series(1, {SAGAS}) n"
    ));
    let (all, no) = (SAGAS, SAGAS / 10);
    let twice = |number: usize| format!("{number}|{number}");
    let did = [all, all - no, all - no].map(twice);
    let undid = [no, 0, 0].map(twice);
    // All that is done, and all that is undone.
    road = kill_while_they_work(&services, road, 3 * all - no);
    let stand = || {
        let of = |what| services.effects(what, "is not null");
        (of("did"), of("undid"))
    };
    let ended = wait_until("every saga to end", PATIENCE, || {
        Ok(stand() == (did.to_vec(), undid.to_vec()))
    });
    assert!(ended.is_ok(), "{:?}\n{}", stand(), road.log());
    road.terminate();
}
