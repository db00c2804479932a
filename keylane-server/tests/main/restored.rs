//! A replica that is restored from an older backup while it is applied to.

use crate::bed::left_out;
use crate::loaded::Loaded;

const GONE_BACK: &str = "KL-APPLY-017";

#[test]
fn a_replica_that_is_restored_under_load_gets_what_it_lost_again_and_nothing_twice() {
    if left_out() {
        return;
    }
    let (mut loaded, capture, first) = Loaded::with("restored", 4, "");
    let (_folder, second) = loaded.elsewhere("apply");
    loaded.bed.wait(&second, "the second to have a share", || {
        second.log().contains("taken over")
    });
    for round in 1..=2 {
        loaded.bed.back_up_replica();
        loaded.await_progress(&first, &format!("behind backup {round}"));
        loaded.bed.restore_replica();
        loaded.await_progress(&first, &format!("after restoring backup {round}"));
    }
    loaded.end(&first);
    let noticed = [&first, &second].map(|it| it.log().contains(GONE_BACK));
    assert!(noticed.contains(&true), "{}{}", first.log(), second.log());
    for running in [first, second, capture] {
        running.terminate();
    }
}

#[test]
fn a_replica_that_is_restored_while_all_is_quiet_gets_what_it_lost_again() {
    if left_out() {
        return;
    }
    let (mut loaded, capture, apply) = Loaded::with("restored_quiet", 4, "");
    loaded.bed.back_up_replica();
    loaded.await_progress(&apply, "behind the backup");
    // Nothing comes any more, and all is applied and saved.
    loaded.end(&apply);
    loaded.bed.restore_replica();
    loaded.end(&apply);
    assert!(apply.log().contains(GONE_BACK), "{}", apply.log());
    capture.terminate();
    apply.terminate();
}
