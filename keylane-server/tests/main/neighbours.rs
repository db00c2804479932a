//! Two pipelines into one replica: what happens to one's appliers is nothing to the other, and one table is for one of them.

use std::time::Duration;

use serde_json::Value;

use crate::bed::{Bed, left_out};
use crate::chaos::Random;
use crate::check_mends::{checks, command};
use crate::members::{Group, moves};
use crate::steady::Watched;

#[test]
fn appliers_that_die_touch_nothing_of_another_pipeline_in_the_same_replica() {
    if left_out() {
        return;
    }
    let mut random = Random::new(4);
    let mut dying = Group::new("beside_dying", "session_timeout: 2s");
    let mut other = Group::beside(&dying, "beside_other", "session_timeout: 30s");
    dying.join();
    other.join();
    other.wait("both of the other to have a share", || {
        other.members[1].1.log().contains("taken over")
    });
    let fences = other.fences();
    let watched = Watched::new(&other.loaded);
    let moves = moves(6);
    for number in 1..=moves {
        eprintln!("neighbours: death {number} of {moves}");
        let chosen = random.below(dying.members.len());
        let (_folder, member) = dying.members.remove(chosen);
        member.kill9();
        dying.join();
        dying.await_progress(&format!("after death {number}"));
        other.await_progress(&format!("of the other after death {number}"));
    }
    watched.assert_steady(Duration::from_secs(15));
    assert_eq!(other.fences(), fences, "the other's were fenced");
    other.end();
    dying.end();
}

/// What `check` finds about tables that several pipelines write.
fn writers(bed: &Bed) -> Vec<Value> {
    let mut found = checks(bed);
    found.retain(|check| check["id"] == "replica.one_writer");
    found
}

#[test]
fn a_table_that_two_pipelines_write_is_found_by_check_with_the_way_out() {
    if left_out() {
        return;
    }
    let table = "create table if not exists t(id int primary key, v text)";
    let first = Bed::new("writer_first", table);
    let second = Bed::beside(&first, "writer_second", table, &[]);
    // In one configuration.
    first.configure(&[first.wiring(), second.wiring()]);
    let found = writers(&first);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["subject"], "writer_second: replica table public.t");
    assert_eq!(found[0]["found"], "pipeline writer_first writes it too");
    assert_eq!(found[0]["severity"], "error");
    // In two, of which neither knows the other: by what one has applied.
    first.configure(&[first.wiring()]);
    assert_eq!(writers(&first), [Value::Null; 0]);
    first.origin_sql("insert into t values (1, 'a')");
    let run = first.run(&["run", "--until-caught-up"]);
    assert!(run.status.success(), "{run:?}");
    let found = writers(&second);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        found[0]["found"],
        "pipeline writer_first of another configuration has applied writer_first.public.t to it"
    );
    assert_eq!(found[0]["severity"], "warning");
    second.replica_sql(&command(&found[0]).expect("a command"));
    assert_eq!(writers(&second), [Value::Null; 0]);
}
