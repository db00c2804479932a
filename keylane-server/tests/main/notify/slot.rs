//! What an origin keeps for the slot, told from its own figures.

use keylane_parts::{Behaviour, Postgres, PostgresVersion, Receiver, wait_until};

use super::bed::titles;
use crate::bed::left_out;
use crate::site::{PATIENCE, Site, terminate};

#[test]
fn an_origin_without_room_for_what_it_keeps_is_told() {
    if left_out() {
        return;
    }
    let origin = Postgres::start(PostgresVersion::V15).expect("PostgreSQL starts");
    origin.create_database("shop").expect("a database");
    let ask = |sql: &str| origin.psql("shop", sql).expect(sql);
    ask("alter system set max_slot_wal_keep_size = '10GB'");
    ask("select pg_reload_conf()");
    ask("create table t(id int primary key, v text)");
    let slack = Receiver::start(Behaviour::Slack).expect("a port");
    let site = Site::new();
    let notify = format!(
        "notify:
  channels: {{ ops: {{ slack: {{ url: '{}' }} }} }}
  rules: {{ slot: {{ disk: 1MiB, for: 0s }}, stuck: {{ tell: false }} }}",
        slack.url()
    );
    let pipeline = format!(
        "    origin: {{ postgres: {{ url: 'postgres://postgres@127.0.0.1:{}/shop' }} }}
    replica: {{ sqlite: {{ path: replica.db }} }}",
        origin.port()
    );
    site.configure(&notify, &pipeline);
    site.catch_up();
    ask("insert into t select id, repeat('x', 1000) from generate_series(1, 5000) id");
    let apply = site.start(&["run", "--only", "apply"], "apply.log");
    let told = wait_until("it to be told", PATIENCE, || Ok(slack.taken().len() == 1));
    told.expect("it is");
    let title = "shop: the origin has no room left for what it keeps";
    assert_eq!(titles(&slack.taken()), [title]);
    let status = site.run(&["status", "--format", "json"]).stdout;
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    let room = status["pipelines"][0]["retained_room_bytes"].as_u64();
    let gib = room.unwrap_or_default() >> 30;
    assert!((9..=10).contains(&gib), "{status}");
    terminate(apply, &site.path("apply.log"));
}
