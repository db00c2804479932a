//! The commands on a laptop's road: SQLite, the embedded log, real processes and their exit codes.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use keylane_parts::{end_with_this_process, wait_until};
use serde_json::Value;

pub(super) const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Shop {
    folder: tempfile::TempDir,
}

impl Shop {
    pub(super) fn new() -> Shop {
        let shop = Shop {
            folder: tempfile::tempdir().expect("a temporary folder"),
        };
        shop.sql(
            "origin.db",
            "CREATE TABLE customers(id INTEGER PRIMARY KEY, email TEXT UNIQUE);
             CREATE TABLE orders(id INTEGER PRIMARY KEY, customer INTEGER REFERENCES customers(id), total REAL);
             INSERT INTO customers VALUES (1, 'a'), (2, 'b');
             INSERT INTO orders VALUES (10, 1, 1.5), (11, 2, 2.0);",
        );
        shop
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn sql(&self, database: &str, sql: &str) {
        let connection =
            rusqlite::Connection::open(self.path(database)).expect("the database opens");
        connection.busy_timeout(PATIENCE).expect("a busy timeout");
        connection.execute_batch(sql).expect(sql);
    }

    pub(super) fn count(&self, database: &str, sql: &str) -> i64 {
        let connection =
            rusqlite::Connection::open(self.path(database)).expect("the database opens");
        connection.busy_timeout(PATIENCE).expect("a busy timeout");
        connection
            .query_row(sql, [], |row| row.get(0))
            .unwrap_or(-1)
    }

    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keylane"));
        command
            .current_dir(self.folder.path())
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    pub(super) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("keylane runs")
    }

    pub(super) fn json(&self, arguments: &[&str], code: i32) -> Value {
        let output = self.run(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        serde_json::from_slice(&output.stdout).expect("one JSON object on stdout")
    }

    pub(super) fn init(&self) {
        let output = self.run(&[
            "init",
            "--from",
            "sqlite:origin.db",
            "--to",
            "sqlite:replica.db",
            "--name",
            "shop",
        ]);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        // Two roads of two tests may run at once; nobody here asks over HTTP.
        self.configure("127.0.0.1:7070", "off");
    }

    /// Puts a text of the configuration in another's place.
    pub(super) fn configure(&self, from: &str, to: &str) {
        let path = self.path("keylane.yaml");
        let text = std::fs::read_to_string(&path).expect("init wrote it");
        assert!(text.contains(from), "{from:?} is not in {text}");
        std::fs::write(path, text.replace(from, to)).expect("it is written");
    }

    /// Waits until everything committed at the origin is applied.
    pub(super) fn await_settled(&self) {
        let mut told = String::new();
        let settled = wait_until("the road to settle", PATIENCE, || {
            let settle = self.run(&["settle", "--timeout", "10s"]);
            told = String::from_utf8_lossy(&settle.stderr).into_owned();
            Ok(settle.status.success())
        });
        let log = || std::fs::read_to_string(self.path("run.log")).unwrap_or_default();
        assert!(settled.is_ok(), "{told}\n{}", log());
    }

    pub(super) fn start(&self) -> Child {
        self.start_as(&["run"], "run.log")
    }

    /// Starts a command; what it says goes to a file of the folder.
    pub(super) fn start_as(&self, arguments: &[&str], log: &str) -> Child {
        let log = std::fs::File::create(self.path(log)).expect("a log file");
        let child = self
            .command(arguments)
            .stderr(log)
            .stdout(Stdio::null())
            .spawn()
            .expect("keylane starts");
        end_with_this_process(&child).expect("it is watched");
        child
    }
}

pub(super) fn terminate(mut child: Child, log: &Path) {
    assert!(
        Command::new("kill")
            .arg(child.id().to_string())
            .status()
            .is_ok_and(|status| status.success())
    );
    let ended = wait_until("the road to drain", PATIENCE, || {
        Ok(child.try_wait().is_ok_and(|end| end.is_some()))
    });
    ended.expect("it drains");
    let log = std::fs::read_to_string(log).unwrap_or_default();
    assert!(child.wait().is_ok_and(|status| status.success()), "{log}");
}

#[test]
fn what_init_writes_is_taken_by_check_and_run_as_it_is() {
    let shop = Shop::new();
    shop.init();
    let again = shop.run(&[
        "init",
        "--from",
        "sqlite:origin.db",
        "--to",
        "sqlite:replica.db",
    ]);
    assert_ne!(
        again.status.code(),
        Some(0),
        "init does not overwrite without --force"
    );
    let checks = shop.json(&["check", "--format", "json"], 0);
    let all = checks["checks"].as_array().expect("a list of checks");
    assert!(
        all.len() > 3
            && all
                .iter()
                .all(|check| check["id"].is_string() && check["ok"].is_boolean()),
        "{checks}"
    );
    let run = shop.run(&["run", "--until-caught-up"]);
    assert_eq!(
        run.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    assert_eq!(shop.count("replica.db", "SELECT count(*) FROM orders"), 2);
    let status = shop.json(&["status", "--format", "json"], 0);
    assert_eq!(status["pipelines"][0]["name"], "shop", "{status}");
    assert_eq!(status["pipelines"][0]["state"], "stopped", "{status}");
}

#[test]
fn settle_returns_when_the_replica_holds_what_the_origin_had() {
    let shop = Shop::new();
    shop.init();
    let road = shop.start();
    let settled = |timeout: &str| shop.run(&["settle", "--timeout", timeout]).status.code();
    shop.await_settled();
    shop.sql("origin.db", "INSERT INTO orders VALUES (12, 1, 3.0); UPDATE orders SET total = 9 WHERE id = 10; DELETE FROM orders WHERE id = 11;");
    assert_eq!(settled("60s"), Some(0));
    assert_eq!(
        shop.count(
            "replica.db",
            "SELECT count(*) FROM orders WHERE id = 12 OR (id = 10 AND total = 9)"
        ),
        2
    );
    assert_eq!(
        shop.count("replica.db", "SELECT count(*) FROM orders WHERE id = 11"),
        0
    );
    // The status file is replaced twice a second: what it says is a little old.
    let does_its_work = || {
        let status = shop.json(&["status", "--format", "json"], 0);
        ["caught_up", "streaming"]
            .contains(&status["pipelines"][0]["state"].as_str().unwrap_or_default())
    };
    wait_until("the status to say so", PATIENCE, || Ok(does_its_work())).expect("it says so");
    terminate(road, &shop.path("run.log"));
    assert_eq!(
        settled("1s"),
        Some(1),
        "nothing settles while the road is stopped"
    );
}

#[test]
fn a_row_that_the_replica_refuses_is_parked_alone_and_redriven_in_order() {
    let shop = Shop::new();
    shop.init();
    shop.sql(
        "replica.db",
        "CREATE TABLE customers(id INTEGER PRIMARY KEY, email TEXT UNIQUE);
         CREATE TABLE orders(id INTEGER PRIMARY KEY, customer INTEGER, total REAL CHECK (total < 100));",
    );
    let road = shop.start();
    shop.await_settled();
    shop.sql(
        "origin.db",
        "INSERT INTO orders VALUES (20, 1, 500); UPDATE orders SET customer = 2 WHERE id = 20; INSERT INTO orders VALUES (21, 1, 5);",
    );
    // A parked key holds up nothing.
    shop.await_settled();
    assert_eq!(
        shop.count("replica.db", "SELECT count(*) FROM orders WHERE id = 21"),
        1
    );
    assert_eq!(
        shop.count("replica.db", "SELECT count(*) FROM orders WHERE id = 20"),
        0
    );
    let parked = shop.json(&["parked", "list", "--format", "json"], 0);
    let list = parked
        .as_array()
        .or(parked["parked"].as_array())
        .expect("a list");
    assert_eq!(list.len(), 1, "{parked}");
    let one = &list[0];
    assert_eq!(
        (one["error_code"].as_str(), one["behind"].as_u64()),
        (Some("KL-APPLY-004"), Some(1)),
        "{parked}"
    );
    // The cause is mended, then the key's queue goes in order.
    shop.sql(
        "replica.db",
        "BEGIN IMMEDIATE; ALTER TABLE orders RENAME TO old; CREATE TABLE orders(id INTEGER PRIMARY KEY, customer INTEGER, total REAL);
         INSERT INTO orders SELECT * FROM old; DROP TABLE old; COMMIT;",
    );
    let redriven = shop.run(&["parked", "redrive", "--all"]);
    assert!(
        redriven.status.success(),
        "{}",
        String::from_utf8_lossy(&redriven.stderr)
    );
    let there = || {
        shop.count(
            "replica.db",
            "SELECT count(*) FROM orders WHERE id = 20 AND total = 500 AND customer = 2",
        ) == 1
    };
    wait_until("the parked key to be redriven", PATIENCE, || Ok(there())).expect("it is redriven");
    shop.sql("origin.db", "UPDATE orders SET total = 1 WHERE id = 20;");
    shop.await_settled();
    assert_eq!(
        shop.count(
            "replica.db",
            "SELECT count(*) FROM orders WHERE id = 20 AND total = 1"
        ),
        1
    );
    terminate(road, &shop.path("run.log"));
}

#[test]
fn wrong_usage_and_wrong_configuration_end_with_two_and_say_where() {
    let shop = Shop::new();
    assert_eq!(shop.run(&["nonsense"]).status.code(), Some(2));
    assert_eq!(
        shop.run(&["run"]).status.code(),
        Some(2),
        "there is no configuration"
    );
    shop.init();
    let config = shop.path("keylane.yaml");
    let text = std::fs::read_to_string(&config).expect("init wrote it");
    std::fs::write(&config, format!("{text}\ntrheads: 3\n")).expect("it is written");
    let output = shop.run(&["run"]);
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        told.contains("keylane.yaml:") && told.contains("trheads"),
        "{told}"
    );
}

#[test]
fn an_applier_on_the_embedded_log_is_taken_over_by_a_later_one_and_ends_with_a_clear_word() {
    let shop = Shop::new();
    shop.init();
    let capture = shop.start_as(&["run", "--only", "capture"], "capture.log");
    let mut former = shop.start_as(&["run", "--only", "apply"], "former.log");
    shop.await_settled();
    let later = shop.start_as(&["run", "--only", "apply"], "later.log");
    let log = |name: &str| std::fs::read_to_string(shop.path(name)).unwrap_or_default();
    let took_over = wait_until("the later one to take over", PATIENCE, || {
        Ok(log("later.log").contains("taken over"))
    });
    took_over.expect("it does");
    // The former one finds out when there is something to do.
    shop.sql("origin.db", "INSERT INTO orders VALUES (12, 1, 3.5);");
    let ended = wait_until("the former one to end", PATIENCE, || {
        Ok(former.try_wait().is_ok_and(|end| end.is_some()))
    });
    ended.expect("it ends");
    let code = former.wait().expect("its exit status").code();
    assert_eq!(code, Some(1), "{}", log("former.log"));
    assert!(
        log("former.log").contains("KL-APPLY-007"),
        "{}",
        log("former.log")
    );
    shop.await_settled();
    let count = "SELECT count(*) FROM orders WHERE id = 12";
    assert_eq!(shop.count("replica.db", count), 1);
    terminate(later, &shop.path("later.log"));
    terminate(capture, &shop.path("capture.log"));
}

#[test]
fn a_road_whose_words_nobody_reads_any_more_goes_on_and_ends_well_when_it_is_told_to() {
    use std::io::BufRead as _;
    let shop = Shop::new();
    shop.init();
    let mut command = shop.command(&["run"]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("keylane starts");
    end_with_this_process(&child).expect("it is watched");
    let mut said = std::io::BufReader::new(child.stderr.take().expect("asked for a pipe"));
    said.read_line(&mut String::new()).expect("a first word");
    drop(said);
    shop.sql("origin.db", "INSERT INTO customers VALUES (3, 'c')");
    shop.await_settled();
    terminate(child, Path::new("/dev/null"));
}
