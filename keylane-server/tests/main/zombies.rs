//! Processes that hang while others take their work over, and then wake: they write nothing any more.

use crate::bed::left_out;
use crate::loaded::Loaded;
use crate::running::Running;

/// Halts an applier at a moment when it has a transaction open at the replica, or none. Halted, it sends nothing, so that what is seen then stays.
fn halt_applier(loaded: &Loaded, apply: &Running, in_transaction: bool) {
    let (state, expected) = match in_transaction {
        true => ("state = 'idle in transaction'", true),
        false => ("xact_start is not null", false),
    };
    let sql = format!(
        "select exists (select from pg_stat_activity where datname = current_database() and application_name like 'keylane%' and {state})"
    );
    loaded.bed.wait(apply, "a moment to halt at", || {
        apply.halt();
        let found = (loaded.bed.replica_sql(&sql) == "t") == expected;
        if !found {
            apply.go_on();
        }
        found
    });
}

fn an_applier_that_was_taken_over_writes_nothing(name: &'static str, in_transaction: bool) {
    if left_out() {
        return;
    }
    let (mut loaded, capture, zombie) = Loaded::with(name, 1, ", group: { session_timeout: 2s }");
    halt_applier(&loaded, &zombie, in_transaction);
    let (_folder, successor) = loaded.elsewhere("apply");
    loaded.await_progress(&successor, "of the successor");
    zombie.go_on();
    let given_up = || zombie.log().contains("given up");
    loaded.bed.wait(&zombie, "the zombie to let go", given_up);
    loaded.await_progress(&successor, "after the zombie woke");
    // It is no zombie any more, but a member as any other.
    successor.kill9();
    loaded.await_progress(&zombie, "by the one that hung");
    loaded.end(&zombie);
    zombie.terminate();
    capture.terminate();
}

#[test]
fn an_applier_that_hung_idle_and_was_taken_over_writes_nothing_and_becomes_a_member_again() {
    an_applier_that_was_taken_over_writes_nothing("zombie_idle", false);
}

#[test]
fn an_applier_that_hung_in_a_transaction_is_taken_over_and_its_transaction_leaves_no_trace() {
    an_applier_that_was_taken_over_writes_nothing("zombie_midway", true);
}

#[test]
fn a_capturer_that_hung_and_was_taken_over_publishes_nothing_and_stands_by_for_the_next_turn() {
    if left_out() {
        return;
    }
    let (mut loaded, zombie, apply) = Loaded::new("zombie_capture");
    zombie.halt();
    loaded.bed.origin_sql(
        "select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = 'keylane_zombie_capture'",
    );
    let (_folder, successor) = loaded.elsewhere("capture");
    loaded.await_progress(&apply, "by the successor");
    zombie.go_on();
    let stands_by = || {
        let status = loaded.bed.status();
        let why = status["why"].as_str().unwrap_or_default();
        why.contains("waiting for another capturer to let go") && why.contains("KL-CAPTURE-102")
    };
    loaded
        .bed
        .wait(&zombie, "the zombie to say that it stands by", stands_by);
    loaded.await_progress(&apply, "beside the zombie");
    // It is no zombie any more, but the one who takes over next.
    successor.kill9();
    loaded.await_progress(&apply, "by the one who stood by");
    loaded.end(&zombie);
    apply.terminate();
    zombie.terminate();
}
