//! The examples, as they are built along with the tests, on real Kafka and PostgreSQL.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use keylane::postgres::connect::{ConnectOptions, connect};
use keylane_parts::{PostgresHandle, Signal, end_with_this_process, send_signal};

use crate::consumer_bed::{Topic, until};

/// Beside the folder of this binary. A run of all tests builds it along; a run of this binary alone builds it now.
fn example(name: &str) -> PathBuf {
    let itself = std::env::current_exe().expect("this program");
    let folder = itself.ancestors().nth(2).expect("a profile's folder");
    let built = folder.join("examples").join(name);
    if !built.exists() {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "-p", "keylane", "--example", name]);
        cargo.arg("--target-dir");
        cargo.arg(folder.parent().expect("a target folder"));
        assert!(cargo.status().expect("cargo").success());
    }
    built
}

fn start(name: &str, arguments: &[&str]) -> Child {
    let child = Command::new(example(name))
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    end_with_this_process(&child).expect("guarded");
    child
}

fn interrupt(mut child: Child) {
    send_signal(child.id(), Signal::Interrupt).expect("sent");
    let status = child.wait().expect("reaped");
    assert!(status.success(), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_example_prints_each_keys_records_in_order() {
    let Some(topic) = Topic::new("example-consume", 2).await else {
        return;
    };
    topic.fill(0..20, 2, |number| number % 4).await;
    let mut child = start("consume", &[topic.bootstrap(), topic.name]);
    let output = child.stdout.take().expect("piped");
    let lines = BufReader::new(output).lines().take(20);
    let lines = tokio::task::spawn_blocking(|| lines.collect::<Result<Vec<String>, _>>());
    let lines = lines.await.expect("no panic").expect("texts");
    let of_key = |key: &str| -> Vec<&str> {
        let of_it = lines.iter().filter_map(|line| line.strip_prefix(key));
        of_it.collect()
    };
    assert_eq!(of_key("3: "), ["3", "7", "11", "15", "19"]);
    interrupt(child);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_example_counts() {
    let Some(topic) = Topic::new("example-count", 2).await else {
        return;
    };
    let server = PostgresHandle::shared_replica().expect("a PostgreSQL");
    server.fresh_database("example_count").expect("a database");
    let url = server.url("example_count");
    let client = connect(&url, "bed", &ConnectOptions::default()).await;
    let client = client.expect("connected");
    topic.fill(0..40, 2, |number| number % 4).await;
    let child = start("count", &[topic.bootstrap(), topic.name, &url]);
    let counted = || {
        let asked = client.query("SELECT n FROM counters", &[]);
        let rows =
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(asked));
        // The table is the example's own to make.
        let rows = rows.unwrap_or_default();
        rows.iter().map(|row| row.get(0)).collect::<Vec<i64>>()
    };
    until("all counters", || counted() == [10, 10, 10, 10]).await;
    interrupt(child);
}
