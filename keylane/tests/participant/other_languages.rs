//! The participants of `examples/participants`, in Python and TypeScript: real processes, asked over HTTP, held to the same cases.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_util::future::BoxFuture;
use keylane::participant::CarryOut as _;
use keylane::saga::harness::HttpParticipant;
use keylane_core::saga::Outcome;
use keylane_core::saga::wire::CommandMessage;
use keylane_parts::{
    PortLease, PostgresHandle, Tool, end_with_this_process, ensure_installed, free_port, wait_until,
};
use rusqlite::Connection;

use super::cases;
use super::commands::Asked;
use super::postgres::effects;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/participants");

/// Where the effects stand.
enum Place {
    Postgres(String),
    Sqlite(PathBuf),
}

/// A participant in a process of its own.
struct Foreign {
    child: Child,
    participant: HttpParticipant,
    lease: PortLease,
    place: Place,
    log: PathBuf,
    _folder: tempfile::TempDir,
}

impl Foreign {
    fn start(
        mut command: Command,
        lease: PortLease,
        place: Place,
        folder: tempfile::TempDir,
    ) -> Self {
        let log = folder.path().join("log");
        let file = || File::create(&log).expect("a log");
        let child = command.stdin(Stdio::null()).stdout(file()).stderr(file());
        let child = child.spawn().expect("it starts");
        end_with_this_process(&child).expect("it is watched");
        let foreign = Foreign {
            child,
            participant: HttpParticipant::new(format!("http://127.0.0.1:{}/", lease.port()))
                .expect("a client"),
            lease,
            place,
            log,
            _folder: folder,
        };
        let listens = wait_until("the participant to listen", Duration::from_secs(60), || {
            Ok(std::net::TcpStream::connect(("127.0.0.1", foreign.lease.port())).is_ok())
        });
        assert!(
            listens.is_ok(),
            "{}",
            std::fs::read_to_string(&foreign.log).unwrap_or_default()
        );
        foreign
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Asked for Foreign {
    fn ask<'a>(&'a self, command: CommandMessage) -> BoxFuture<'a, Outcome> {
        Box::pin(async move { self.participant.carry_out(&command).await })
    }

    fn effects<'a>(&'a self, saga: &'a str) -> BoxFuture<'a, (u64, u64)> {
        match &self.place {
            Place::Postgres(url) => Box::pin(effects(url, saga)),
            Place::Sqlite(path) => {
                let connection = Connection::open(path).expect("the file");
                connection
                    .busy_timeout(Duration::from_secs(20))
                    .expect("a time");
                let sql = "SELECT count(*) FILTER (WHERE what = 'did'), count(*) FILTER (WHERE what = 'undid') FROM effects WHERE saga = ?1";
                let counts =
                    connection.query_row(sql, [saga], |row| Ok((row.get(0)?, row.get(1)?)));
                Box::pin(std::future::ready(counts.expect("a row")))
            }
        }
    }
}

async fn conforms(name: &str, foreign: &Foreign, sagas: usize) {
    cases::all(name, foreign).await;
    cases::storm(name, foreign, sagas, 11).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_participant_in_python_conforms() {
    if keylane_parts::quick() {
        return;
    }
    ensure_installed(&[Tool::Python]).expect("Python");
    let folder = tempfile::tempdir().expect("a folder");
    let (lease, path) = (
        free_port().expect("a port"),
        folder.path().join("service.db"),
    );
    let mut command = Command::new("python3");
    let script = Path::new(EXAMPLES).join("participant.py");
    command.arg(script).arg(&path).arg(lease.port().to_string());
    let foreign = Foreign::start(command, lease, Place::Sqlite(path), folder);
    conforms("python", &foreign, 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_participant_in_typescript_conforms() {
    if keylane_parts::quick() {
        return;
    }
    ensure_installed(&[Tool::Node]).expect("Node");
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("package.json"), r#"{"type": "module"}"#).expect("a file");
    let source = Path::new(EXAMPLES).join("participant.ts");
    std::fs::copy(source, folder.path().join("participant.ts")).expect("a copy");
    let packages = ["pg@8", "typescript@5", "@types/node@20", "@types/pg@8"];
    let built = Command::new("npm")
        .args(["install", "--no-audit", "--no-fund", "--loglevel=error"])
        .args(packages)
        .current_dir(folder.path())
        .output()
        .expect("npm runs");
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    let built = Command::new("node_modules/.bin/tsc")
        .args([
            "--target",
            "es2022",
            "--module",
            "nodenext",
            "--strict",
            "participant.ts",
        ])
        .current_dir(folder.path())
        .output()
        .expect("tsc runs");
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stdout)
    );
    let server = PostgresHandle::shared_origin().expect("PostgreSQL");
    server
        .fresh_database("participant_typescript")
        .expect("a database");
    let url = server.url("participant_typescript");
    let lease = free_port().expect("a port");
    let mut command = Command::new("node");
    command.args(["participant.js", &url, &lease.port().to_string()]);
    command.current_dir(folder.path());
    let foreign = Foreign::start(command, lease, Place::Postgres(url), folder);
    conforms("typescript", &foreign, 60).await;
}
