//! The parts of a road, started, killed and brought back.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use keylane_parts::{Kafka, Postgres, PostgresVersion, end_with_this_process, wait_until};

/// How long any awaited thing may take.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// What can be killed.
#[derive(Clone, Copy, Debug)]
pub enum Part {
    Capture,
    Apply,
    Broker,
    Origin,
    Replica,
}

/// How a road is built.
#[derive(Clone, Debug)]
pub struct RoadOptions {
    pub partitions: u32,
    pub threads: u32,
    pub fold: bool,
    pub seed: u64,
    pub version: PostgresVersion,
}

impl Default for RoadOptions {
    fn default() -> Self {
        RoadOptions {
            partitions: 8,
            threads: 4,
            fold: false,
            seed: 1,
            version: PostgresVersion::V15,
        }
    }
}

/// A road on real parts.
pub struct Road {
    pub options: RoadOptions,
    pub kafka: Kafka,
    pub origin: Postgres,
    pub replica: Postgres,
    dir: tempfile::TempDir,
    capture: Option<Child>,
    apply: Option<Child>,
    lives: u32,
}

/// Tables of the counters script; pgbench makes its own.
const COUNTERS: &str = "create table counters(id int primary key, version int not null, note text);
    create table notes(id bigint primary key, counter int not null, body text);
    create index on notes(counter);";

impl Road {
    /// Parts up, tables on both sides, configuration written; nothing of Keylane runs yet.
    pub fn start(options: RoadOptions) -> Road {
        let kafka = Kafka::start().expect("Kafka starts");
        let origin = Postgres::start(options.version).expect("the origin starts");
        let replica = Postgres::start(options.version).expect("the replica starts");
        let road = Road {
            kafka,
            origin,
            replica,
            dir: tempfile::tempdir().expect("a temporary folder"),
            capture: None,
            apply: None,
            lives: 0,
            options,
        };
        road.pgbench(&road.origin, &["-i", "-q", "-s", "1"]);
        road.pgbench(&road.replica, &["-i", "-q", "-s", "1", "-I", "dtp"]);
        for side in [&road.origin, &road.replica] {
            side.psql("postgres", COUNTERS)
                .expect("tables for the counters");
            side.psql(
                "postgres",
                "alter table pgbench_history replica identity full",
            )
            .expect("a replica identity");
        }
        // Notes are numbered by a sequence: none comes twice.
        let fill = "insert into counters select id, 0 from generate_series(1, 200) id; create sequence note_numbers";
        road.origin
            .psql("postgres", fill)
            .expect("counters to count with");
        road.configure();
        road
    }

    fn pgbench(&self, side: &Postgres, arguments: &[&str]) {
        let output = side
            .client("pgbench", "postgres")
            .args(arguments)
            .output()
            .expect("pgbench starts");
        assert!(
            output.status.success(),
            "pgbench {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn configure(&self) {
        let RoadOptions {
            partitions,
            threads,
            fold,
            ..
        } = self.options;
        let text = format!(
            "version: 1
http: {{ listen: off }}
log: {{ kafka: {{ bootstrap: \"{}\" }} }}
pipelines:
  chaos:
    origin: {{ postgres: {{ url: \"{}\" }} }}
    replica: {{ postgres: {{ url: \"{}\" }} }}
    tables: [\"public.*\"]
    topics: {{ partitions: {partitions} }}
    apply: {{ threads: {threads}, fold: {fold}, group: {{ instance_id: one }} }}
",
            self.kafka.bootstrap(),
            self.origin.url("postgres"),
            self.replica.url("postgres"),
        );
        std::fs::write(self.config(), text).expect("the configuration is written");
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("keylane.yaml")
    }

    /// A Keylane command of this road.
    pub fn keylane(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keylane"));
        command
            .arg("--config")
            .arg(self.config())
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    fn spawn(&mut self, half: &str) -> Child {
        self.lives += 1;
        let log = std::fs::File::create(self.dir.path().join(format!("{half}-{}.log", self.lives)))
            .expect("a log file");
        let mut command = self.keylane(&["run", "--only", half]);
        command.stderr(log).stdout(Stdio::null());
        let child = command.spawn().expect("keylane starts");
        end_with_this_process(&child).expect("it is watched");
        child
    }

    pub fn start_capture(&mut self) {
        self.capture = Some(self.spawn("capture"));
    }

    pub fn start_apply(&mut self) {
        self.apply = Some(self.spawn("apply"));
    }

    /// Kills a part with SIGKILL and starts it again at once.
    pub fn kill9_and_restart(&mut self, part: Part) {
        match part {
            Part::Capture => {
                kill(self.capture.take());
                self.start_capture();
            }
            Part::Apply => {
                kill(self.apply.take());
                self.start_apply();
            }
            Part::Broker => {
                self.kafka.kill9().expect("the broker is killed");
                self.kafka.restart().expect("the broker comes back");
            }
            Part::Origin => {
                self.origin.kill9().expect("the origin is killed");
                self.origin.restart().expect("the origin comes back");
            }
            Part::Replica => {
                self.replica.kill9().expect("the replica is killed");
                self.replica.restart().expect("the replica comes back");
            }
        }
    }

    /// Waits until the initial copy is complete.
    pub fn await_copied(&mut self) {
        self.wait("the initial copy", |road| {
            let rows = road
                .replica
                .psql("postgres", "select count(*) from pgbench_accounts")
                .unwrap_or_default();
            let counters = road
                .replica
                .psql("postgres", "select count(*) from counters")
                .unwrap_or_default();
            rows.trim() == "100000" && counters.trim() == "200" && road.settle_within("5s")
        });
    }

    /// Asks the origin.
    pub fn origin_asked(&self) -> impl Fn(&str) -> String {
        |sql| self.origin.psql("postgres", sql).expect(sql)
    }

    /// Asks the replica.
    pub fn replica_asked(&self) -> impl Fn(&str) -> String {
        |sql| self.replica.psql("postgres", sql).expect(sql)
    }

    fn audit_count(&self) -> u64 {
        let count = self
            .replica
            .psql("postgres", "select coalesce(max(seq), 0) from proof.audit")
            .unwrap_or_default();
        count.trim().parse().unwrap_or(0)
    }

    /// Waits until the replica has taken changes after this moment.
    pub fn await_progress(&mut self, after: &str) {
        let mut before = 0;
        self.wait("the replica answers", |road| {
            before = road.audit_count();
            before > 0
        });
        self.wait(&format!("progress {after}"), |road| {
            road.audit_count() > before
        });
    }

    fn settle_within(&self, timeout: &str) -> bool {
        self.keylane(&["settle", "--timeout", timeout])
            .output()
            .is_ok_and(|output| output.status.success())
    }

    /// Waits until the replica holds what the origin had.
    pub fn settle(&mut self) {
        self.wait("the replica to hold what the origin has", |road| {
            road.settle_within("60s")
        });
    }

    /// Waits until nobody writes to the origin any more, after the workload was stopped: a server process may end its client's last transaction late.
    pub fn await_no_writers(&mut self) {
        let sql = "select count(*) from pg_stat_activity where application_name = 'pgbench'";
        self.wait("the workload's last transactions", |road| {
            road.origin
                .psql("postgres", sql)
                .is_ok_and(|count| count.trim() == "0")
        });
    }

    /// A half that has ended without having been told to, and how.
    fn ended(&mut self) -> Option<String> {
        let halves = [("capture", &mut self.capture), ("apply", &mut self.apply)];
        halves.into_iter().find_map(|(half, child)| {
            let status = child.as_mut()?.try_wait().ok()??;
            Some(format!("{half} ended by itself: {status}"))
        })
    }

    fn wait(&mut self, awaited: &str, mut holds: impl FnMut(&mut Road) -> bool) {
        let mut ended = None;
        let waited = wait_until(awaited, PATIENCE, || {
            ended = self.ended();
            Ok(ended.is_some() || holds(self))
        });
        let failed = ended.or(waited.err().map(|error| error.to_string()));
        assert!(
            failed.is_none(),
            "seed {}: {}\n{}",
            self.options.seed,
            failed.unwrap_or_default(),
            self.logs()
        );
    }

    /// What the road says of itself and the ends of the latest logs, for a failure's reader.
    pub fn logs(&self) -> String {
        let mut text = String::new();
        for arguments in [
            &["status", "--format", "json"][..],
            &["settle", "--timeout", "5s"],
        ] {
            let said = self.keylane(arguments).output();
            let said = said.map(|said| [said.stdout, said.stderr].concat());
            let said = String::from_utf8_lossy(&said.unwrap_or_default()).into_owned();
            text.push_str(&format!("--- {arguments:?}\n{said}\n"));
        }
        let Ok(entries) = std::fs::read_dir(self.dir.path()) else {
            return text;
        };
        let mut paths: Vec<_> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|end| end == "log"))
            .collect();
        paths.sort_by_key(|path| {
            std::fs::metadata(path)
                .and_then(|meta| meta.modified())
                .ok()
        });
        for path in paths.iter().rev().take(3) {
            let content = std::fs::read_to_string(path).unwrap_or_default();
            let tail: Vec<&str> = content.lines().rev().take(25).collect();
            text.push_str(&format!("--- {}\n", path.display()));
            for line in tail.iter().rev() {
                text.push_str(line);
                text.push('\n');
            }
        }
        text
    }

    /// Ends what runs; both halves drain and end with 0.
    pub fn stop(mut self) {
        for (half, child) in [
            ("capture", self.capture.take()),
            ("apply", self.apply.take()),
        ] {
            let Some(mut child) = child else { continue };
            let pid = child.id().to_string();
            assert!(
                Command::new("kill")
                    .arg(&pid)
                    .status()
                    .is_ok_and(|status| status.success()),
                "SIGTERM reaches {half}"
            );
            let ended = wait_until(&format!("{half} to drain"), Duration::from_secs(30), || {
                Ok(child.try_wait().is_ok_and(|end| end.is_some()))
            });
            ended.expect("it drains");
            let status = child.wait().expect("its exit status");
            assert!(
                status.success(),
                "{half} ended with {status}\n{}",
                self.logs()
            );
        }
    }
}

fn kill(child: Option<Child>) {
    if let Some(mut child) = child {
        child.kill().expect("SIGKILL reaches it");
        child.wait().expect("it is gone");
    }
}

impl Drop for Road {
    fn drop(&mut self) {
        for mut child in [self.capture.take(), self.apply.take()]
            .into_iter()
            .flatten()
        {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// A small seeded generator.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// Lets the road run for a random while: when a kill comes is part of the fault, nothing waits for it.
    pub fn pause_ms(&mut self, from: u64, to: u64) {
        std::thread::sleep(Duration::from_millis(from + self.next() % (to - from)));
    }
}
