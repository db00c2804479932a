//! `keylane consume`: a topic's records, of Kafka or of an embedded log, to a command and to an HTTP endpoint.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes as Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use keylane::LogSettings;
use keylane::embedded::EmbeddedOptions;
use keylane::kafka::KafkaSettings;
use keylane_core::model::TopicPartition;
use keylane_core::publish::{Log, NewRecord, TopicSpec};
use keylane_parts::{KafkaHandle, wait_until};

use crate::bed::{PATIENCE, left_out};
use crate::running::Running;

pub struct Topic {
    pub name: String,
    pub settings: LogSettings,
    pub folder: tempfile::TempDir,
    pub runtime: tokio::runtime::Runtime,
    pub log: Arc<dyn Log>,
}

impl Topic {
    /// Three partitions, and a topic for dead letters.
    pub fn new(name: &str) -> Topic {
        let shared = KafkaHandle::shared().expect("Kafka");
        Topic::over(shared.bootstrap(), name)
    }

    /// As [`Topic::new`], over a Kafka of the test's own.
    pub fn over(bootstrap: &str, name: &str) -> Topic {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Topic::of(KafkaSettings::new(bootstrap).into(), folder, name)
    }

    /// As [`Topic::new`], in each kind of log that there is.
    fn of_each_log(name: &str) -> Vec<Topic> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let embedded = EmbeddedOptions::at(folder.path().join("log.db"));
        let mut topics = vec![Topic::of(embedded.into(), folder, name)];
        if !left_out() {
            topics.push(Topic::new(name));
        }
        topics
    }

    fn of(settings: LogSettings, folder: tempfile::TempDir, name: &str) -> Topic {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let name = format!("{name}-{}", std::process::id());
        let log = runtime.block_on(settings.open()).expect("a log");
        let spec = |name: String| TopicSpec {
            name: name.into(),
            partitions: 3,
            replication_factor: 1,
            settings: Vec::new(),
        };
        let specs = [spec(name.clone()), spec(format!("{name}.dead"))];
        runtime.block_on(log.ensure_topics(&specs)).expect("topics");
        Topic {
            name,
            settings,
            folder,
            runtime,
            log,
        }
    }

    /// The arguments that say where it is.
    pub fn place(&self) -> [&str; 2] {
        match &self.settings {
            LogSettings::Kafka(settings) => ["--bootstrap", &settings.bootstrap],
            LogSettings::Embedded(options) => {
                ["--log", options.path.to_str().expect("a path that is text")]
            }
        }
    }

    /// Records `numbers`; of each seven one key.
    fn fill(&self, numbers: std::ops::Range<u64>) {
        let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now_ms = since_1970.expect("a clock that is set").as_millis() as i64;
        let record = |number: u64| NewRecord {
            partition: TopicPartition::new(&*self.name, (number % 7 % 3) as u32),
            key: Some(Bytes::from(format!("key {}", number % 7))),
            value: Some(Bytes::from(number.to_string())),
            headers: vec![("content-type".into(), Bytes::from_static(b"text/plain"))],
            keylane: String::new(),
            timestamp_ms: now_ms,
        };
        let records = numbers.map(record).collect();
        let appended = async { self.log.append(records).await?.await };
        self.runtime.block_on(appended).expect("durable");
    }

    fn consume(&self, more: &[&str]) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keylane"));
        command
            .current_dir(self.folder.path())
            .arg("consume")
            .args(self.place())
            .args(["--topic", &self.name, "--group", &self.name])
            .args(more)
            .stdin(Stdio::null());
        Running::start(command, self.folder.path())
    }

    fn wait(&self, running: &Running, awaited: &str, mut holds: impl FnMut() -> bool) {
        let waited = wait_until(awaited, PATIENCE, || Ok(holds()));
        assert!(waited.is_ok(), "{waited:?}\n{}", running.log());
    }
}

/// Lines of `KEY: NUMBER`, each key's numbers in order.
fn assert_in_order(lines: &[(String, u64)]) {
    let mut by_key: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for (key, number) in lines {
        by_key.entry(key).or_default().push(*number);
    }
    assert!(
        by_key.values().all(|numbers| numbers.is_sorted()),
        "{by_key:?}"
    );
}

#[test]
fn each_record_is_given_to_a_command_and_what_it_refuses_goes_to_the_dead_letters() {
    for topic in Topic::of_each_log("consume-exec") {
        topic.fill(0..70);
        let out = topic.folder.path().join("out");
        let lines = || -> Vec<(String, u64)> {
            let text = std::fs::read_to_string(&out).unwrap_or_default();
            let line = |line: &str| {
                let (key, number) = line.split_once(": ").expect("two words");
                (key.to_owned(), number.parse().expect("a number"))
            };
            text.lines().map(line).collect()
        };
        // 13 is always refused; 20 at its first attempt.
        let script = "read number || true; [ $number = 13 ] && { echo 'no such order' >&2; exit 3; }; [ $number = 20 ] && [ $KEYLANE_ATTEMPT = 1 ] && exit 1; echo \"$KEYLANE_KEY: $number\" >> out";
        let dead = format!("{}.dead", topic.name);
        let more = [
            "--exec",
            script,
            "--retries",
            "2",
            "--dead-letter",
            &dead,
            "--concurrency",
            "5",
        ];
        let consuming = topic.consume(&more);
        topic.wait(&consuming, "all but one", || lines().len() == 69);
        topic.wait(&consuming, "the dead letter", || {
            consuming.log().contains("to the dead-letter topic")
        });
        assert_in_order(&lines());
        consuming.terminate();
        let [place, at] = topic.place();
        let of_the_dead = [
            "consume",
            place,
            at,
            "--topic",
            &dead,
            "--group",
            &dead,
            "--exec",
            "cat > letter; echo \" $KEYLANE_KEY\" >> letter",
        ];
        let mut command = Command::new(env!("CARGO_BIN_EXE_keylane"));
        command.current_dir(topic.folder.path()).args(of_the_dead);
        let letters = Running::start(command, topic.folder.path());
        let letter = topic.folder.path().join("letter");
        let read = || std::fs::read_to_string(&letter).unwrap_or_default();
        topic.wait(&letters, "the letter", || read() == "13 key 6\n");
        letters.terminate();
        // Who comes next has only what is new to do.
        topic.fill(70..72);
        let again = topic.consume(&more);
        topic.wait(&again, "what is new", || lines().len() == 71);
        assert_in_order(&lines());
        again.terminate();
    }
}

/// What the endpoint was sent: the header that tells a repeat, the key, the number, and all else that it was told.
type Posted = Arc<Mutex<Vec<(String, String, u64, HeaderMap)>>>;

async fn take(
    State(posted): State<Posted>,
    headers: HeaderMap,
    body: Body,
) -> (StatusCode, &'static str) {
    let text = |name: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let number: u64 = std::str::from_utf8(&body)
        .expect("a text")
        .parse()
        .expect("a number");
    let (id, key) = (text("idempotency-key"), text("keylane-key"));
    let mut posted = posted.lock().expect("nobody panics");
    posted.push((id.clone(), key, number, headers.clone()));
    let calls = posted.iter().filter(|(other, ..)| *other == id).count();
    if number % 10 == 3 && calls < 2 {
        return (StatusCode::SERVICE_UNAVAILABLE, "come back later");
    }
    (StatusCode::OK, "")
}

#[test]
fn each_record_is_posted_with_what_tells_a_repeat_and_again_until_it_is_taken() {
    if left_out() {
        return;
    }
    let topic = Topic::new("consume-http");
    topic.fill(0..70);
    let posted = Posted::default();
    let listener = topic
        .runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
    let listener = listener.expect("a free port");
    let url = format!(
        "http://{}/orders",
        listener.local_addr().expect("an address")
    );
    let service = Router::new()
        .route("/orders", axum::routing::post(take))
        .with_state(posted.clone());
    topic
        .runtime
        .spawn(async move { axum::serve(listener, service).await });
    let consuming = topic.consume(&["--http", &url, "--concurrency", "20"]);
    topic.wait(&consuming, "all records", || {
        posted.lock().expect("nobody panics").len() == 77
    });
    consuming.terminate();
    let posted = posted.lock().expect("nobody panics").clone();
    let lines: Vec<(String, u64)> = posted
        .iter()
        .map(|(_, key, number, _)| (key.clone(), *number))
        .collect();
    assert_in_order(&lines);
    let ids: std::collections::BTreeSet<&String> = posted.iter().map(|(id, ..)| id).collect();
    assert_eq!(ids.len(), 70);
    let (id, key, _, headers) = posted
        .iter()
        .find(|(_, _, number, _)| *number == 0)
        .expect("the first");
    assert_eq!(
        (id.as_str(), key.as_str()),
        (&*format!("{}-0-0", topic.name), "key 0")
    );
    let expected = [
        ("content-type", "text/plain"),
        ("keylane-topic", &*topic.name),
        ("keylane-partition", "0"),
        ("keylane-offset", "0"),
        ("keylane-attempt", "1"),
    ];
    for (name, value) in expected {
        assert_eq!(
            headers.get(name).and_then(|it| it.to_str().ok()),
            Some(value),
            "{name}"
        );
    }
}

#[test]
fn without_a_handler_or_with_two_or_with_a_url_that_is_none_nothing_is_begun() {
    let consume = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keylane"));
        command.args([
            "consume",
            "--bootstrap",
            "127.0.0.1:1",
            "--topic",
            "t",
            "--group",
            "g",
        ]);
        let output = command.args(more).output().expect("keylane runs");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    for (more, word) in [
        (&[][..], "--exec"),
        (
            &["--exec", "true", "--http", "http://x/"],
            "cannot be used with",
        ),
        (&["--http", "ftp://x/"], "http:// or https://"),
        (&["--exec", "true", "--dead-letter", "d"], "--retries"),
        (&["--exec", "true", "--property", "nonsense"], "NAME=VALUE"),
    ] {
        let (code, told) = consume(more);
        assert!(
            code == Some(2) && told.contains(word),
            "{more:?}: {code:?} {told}"
        );
    }
}

/// Runs to its end; what it has printed.
pub fn redrive(topic: &Topic, more: &[&str]) -> serde_json::Value {
    let dead = format!("{}.dead", topic.name);
    let mut command = Command::new(env!("CARGO_BIN_EXE_keylane"));
    command.args(["consume", "redrive"]).args(topic.place());
    command.args(["--dead-letter", &dead, "--format", "json"]);
    let output = command.args(more).output().expect("keylane runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    serde_json::from_slice(&output.stdout).expect("one object")
}

#[test]
fn dead_letters_go_back_once_with_what_tells_a_repeat_and_are_handled_then() {
    for topic in Topic::of_each_log("consume-redrive") {
        topic.fill(0..21);
        let dead = format!("{}.dead", topic.name);
        // Of seven keys one is refused until it is mended.
        let script = "read number || true; [ $KEYLANE_KEY = 'key 3' -a ! -e mended ] && exit 1; echo \"$KEYLANE_ID $KEYLANE_PARTITION $number\" >> out";
        let script = script.replace("[ $KEYLANE_KEY", "[ \"$KEYLANE_KEY\"");
        let more = ["--exec", &script, "--retries", "0", "--dead-letter", &dead];
        let consuming = topic.consume(&more);
        let out = topic.folder.path().join("out");
        let lines = || -> Vec<String> {
            let text = std::fs::read_to_string(&out).unwrap_or_default();
            text.lines().map(str::to_owned).collect()
        };
        topic.wait(&consuming, "all but three", || lines().len() == 18);
        topic.wait(&consuming, "three letters", || {
            consuming.log().matches("to the dead-letter topic").count() == 3
        });
        consuming.terminate();
        std::fs::write(topic.folder.path().join("mended"), "").expect("written");
        assert_eq!(
            redrive(&topic, &["--max", "2"]),
            serde_json::json!({"put_back": 2, "left": 1, "gone": 0})
        );
        assert_eq!(
            redrive(&topic, &[]),
            serde_json::json!({"put_back": 1, "left": 0, "gone": 0})
        );
        assert_eq!(
            redrive(&topic, &[]),
            serde_json::json!({"put_back": 0, "left": 0, "gone": 0})
        );
        let again = topic.consume(&more);
        topic.wait(&again, "what came back", || lines().len() == 21);
        again.terminate();
        // Under the ids that they failed with, in their partition and order.
        let back: Vec<String> = lines().split_off(18);
        let partition = 3 % 3;
        let ids: Vec<&str> = back
            .iter()
            .filter_map(|line| line.split(' ').next())
            .collect();
        assert!(
            ids.iter()
                .all(|id| id.starts_with(&format!("{}-{partition}-", topic.name))),
            "{back:?}"
        );
        let numbers: Vec<&str> = back
            .iter()
            .filter_map(|line| line.split(' ').next_back())
            .collect();
        assert_eq!(numbers, ["3", "10", "17"]);
    }
}

#[test]
fn health_and_metrics_of_a_consumer_are_served_and_only_to_this_machine_without_a_token() {
    if left_out() {
        return;
    }
    let topic = Topic::new("consume-listen");
    topic.fill(0..70);
    let consuming = topic.consume(&["--exec", "true", "--listen", "127.0.0.1:0"]);
    let address = || {
        let log = consuming.log();
        let rest = log.split_once("http://")?.1.to_owned();
        Some(rest.split_once(": /healthz")?.0.to_owned())
    };
    topic.wait(&consuming, "the address", || address().is_some());
    let address = address().expect("it was told");
    let get = |path: &str| {
        let answer = crate::http::answer(&address, path);
        (answer.code, answer.body)
    };
    assert_eq!(get("/healthz").0, 200);
    topic.wait(&consuming, "it to be ready", || get("/readyz").0 == 200);
    let handled = format!(
        "keylane_consumer_handled_total{{group=\"{}\"}} 70",
        topic.name
    );
    topic.wait(&consuming, "all to be told", || {
        get("/metrics").1.contains(&handled)
    });
    topic.wait(&consuming, "the hot keys", || {
        get("/metrics")
            .1
            .contains("keylane_consumer_hot_key_share{")
    });
    consuming.terminate();
    let mut command = Command::new(env!("CARGO_BIN_EXE_keylane"));
    command.args([
        "consume",
        "--bootstrap",
        "127.0.0.1:1",
        "--topic",
        "t",
        "--group",
        "g",
    ]);
    command.args(["--exec", "true", "--listen", "0.0.0.0:0"]);
    let output = command
        .env_remove("KEYLANE_AUTH_TOKEN")
        .output()
        .expect("keylane runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(2) && told.contains("KEYLANE_AUTH_TOKEN"),
        "{told}"
    );
}

#[test]
fn a_log_that_is_not_there_is_told_and_not_made() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = folder.path().join("log.db");
    let handling = ["--topic", "t", "--group", "g", "--exec", "true", "--log"];
    for arguments in [&handling[..], &["redrive", "--dead-letter", "t", "--log"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keylane"));
        let output = command.arg("consume").args(arguments).arg(&log).output();
        let output = output.expect("keylane runs");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains("there is no file"), "{told}");
        assert!(!log.exists());
    }
}
