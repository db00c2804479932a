//! A shop in two SQLite files whose replica refuses customers called `bad`, and a receiver that is told.

use std::process::Child;

use keylane_parts::{Behaviour, Received, Receiver, wait_until};
use serde_json::Value;

use crate::site::{Ended, PATIENCE, Site, terminate};

/// What must never be printed: the URL's secret part, and a row's value.
const HIDDEN: [&str; 2] = ["hooksecret", "rowmarker"];

pub struct Bed {
    pub site: Site,
    pub slack: Receiver,
}

impl Bed {
    /// Keys are parked at once and told at once; everything else needs long.
    pub fn new(behaviour: Behaviour) -> Bed {
        let bed = Bed {
            site: Site::new(),
            slack: Receiver::start(behaviour).expect("a port"),
        };
        bed.sql(
            "replica.db",
            "CREATE TABLE customers(id INTEGER PRIMARY KEY, name TEXT CHECK (name NOT LIKE 'bad%'))",
        );
        bed.configure("", "");
        bed
    }

    /// With these further settings of `notify` and of the pipeline.
    pub fn configure(&self, notify: &str, pipeline: &str) {
        let url = self.slack.url();
        let log = format!(
            "notify:
  channels: {{ ops: {{ slack: {{ url: \"${{SLACK_URL:-{url}}}\" }} }} }}
  digest: off
{notify}"
        );
        let shop = self.site.sqlite_pipeline();
        let apply = "    apply: { on_error: { retry: 0 } }";
        let pipeline = match pipeline {
            "" => format!("{shop}\n{apply}"),
            more => format!("{shop}\n{more}"),
        };
        self.site.configure(&log, &pipeline);
    }

    pub fn sql(&self, database: &str, sql: &str) {
        let connection = rusqlite::Connection::open(self.site.path(database)).expect("a database");
        connection.busy_timeout(PATIENCE).expect("a busy timeout");
        connection.execute_batch(sql).expect(sql);
    }

    /// A customer whom the replica refuses.
    pub fn bad_customer(&self, id: u32) {
        let insert = format!("INSERT INTO customers VALUES ({id}, 'bad rowmarker')");
        self.sql("origin.db", &insert);
    }

    pub fn run(&self, arguments: &[&str]) -> Ended {
        let ended = self.site.run(arguments);
        is_clean(&format!("{arguments:?}"), &ended.stdout);
        is_clean(&format!("{arguments:?}"), &ended.stderr);
        ended
    }

    pub fn json(&self, arguments: &[&str]) -> Value {
        let ended = self.run(arguments);
        serde_json::from_str(&ended.stdout)
            .map_err(|error| format!("{error}: {}", ended.stderr))
            .expect("one JSON object")
    }

    /// Starts the road, as verbose as can be.
    pub fn start(&self, arguments: &[&str], log: &str) -> Child {
        let mut all = vec!["run", "-vv"];
        all.extend(arguments);
        self.site.start(&all, log)
    }

    pub fn terminate(&self, road: Child, log: &str) {
        let path = self.site.path(log);
        terminate(road, &path);
        is_clean(log, &std::fs::read_to_string(path).unwrap_or_default());
    }

    pub fn wait(&self, awaited: &str, mut holds: impl FnMut() -> bool) {
        wait_until(awaited, PATIENCE, || Ok(holds())).expect("it comes");
    }

    /// The outbox, as scripts see it.
    pub fn outbox(&self) -> Vec<Value> {
        let told = self.json(&["notify", "outbox", "--format", "json"]);
        told["messages"].as_array().cloned().unwrap_or_default()
    }

    /// Until so many messages were taken and none waits.
    pub fn wait_taken(&self, count: usize) -> Vec<String> {
        self.wait(&format!("{count} messages to be taken"), || {
            self.slack.taken().len() >= count && self.outbox().is_empty()
        });
        titles(&self.slack.taken())
    }
}

/// The titles, without their severity.
pub fn titles(received: &[Received]) -> Vec<String> {
    let title = |one: &Received| {
        let body: Value = serde_json::from_str(&one.body).ok()?;
        let text = body["blocks"][0]["text"]["text"].as_str()?;
        Some(text.split_once("] ")?.1.to_owned())
    };
    received.iter().filter_map(title).collect()
}

pub fn is_clean(what: &str, text: &str) {
    for hidden in HIDDEN {
        let place = text.find(hidden);
        let around =
            place.and_then(|place| text.get(place.saturating_sub(200)..text.len().min(place + 50)));
        assert!(place.is_none(), "{what} shows {hidden}: …{around:?}…");
    }
}
