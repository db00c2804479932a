//! The role that the guide makes for the sagas' database is enough for all that is done with sagas.

use keylane_core::saga::State;
use keylane_parts::PostgresHandle;

use super::bed::{Bed, TRIP, wait};
use crate::bed::left_out;
use crate::roles::documented;

const DATABASE: &str = "sagas_roles";
const SAGAS: usize = 5;

#[test]
fn who_may_only_read_and_write_the_tables_drives_sagas_and_helps_them() {
    if left_out() {
        return;
    }
    let server = PostgresHandle::shared_replica().expect("a PostgreSQL");
    server.fresh_database(DATABASE).expect("a database");
    let forget = "drop role if exists keylane_sagas";
    server.psql(DATABASE, forget).expect("no role is left");
    // Somebody who may has made the tables.
    let bed = Bed::of(TRIP, 3, server.url(DATABASE));
    server.psql(DATABASE, &documented("sagas")).expect("a role");
    let path = bed.folder.path().join("keylane.yaml");
    let text = std::fs::read_to_string(&path).expect("read");
    let with_role = text.replace("postgres://postgres@", "postgres://keylane_sagas@");
    assert_ne!(text, with_role);
    std::fs::write(path, with_role).expect("written");
    let serving = bed.serve();
    for number in 0..SAGAS {
        let key = format!("key-{number}");
        let start = ["saga", "start", "trip", "--key", &key, "--data", "{}"];
        let (begun, code) = bed.json(&start);
        assert_eq!(code, Some(0), "{begun}");
    }
    wait("all sagas to end", || bed.list(&[]).is_empty());
    let ended = bed.list(&[State::Completed]);
    assert_eq!(ended.len(), SAGAS);
    // What cannot be had is refused for its own reason, which is written down, too.
    let (refused, code) = bed.json(&["saga", "retry", &ended[0].id, "--reason", "a try"]);
    assert_eq!(code, Some(1), "{refused}");
    let (shown, code) = bed.json(&["saga", "show", &ended[0].id]);
    assert_eq!((code, &shown["state"]), (Some(0), &"completed".into()));
    serving.terminate();
    let made = server.psql(
        DATABASE,
        "set role keylane_sagas; create table keylane.more (a int)",
    );
    assert!(made.is_err(), "it may make no tables");
}
