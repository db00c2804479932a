//! `up` and `down`: real parts to play with, in the background. What runs is written down in `.keylane-dev/state.json`.

use crate::report::{Outcome, TaskResult};
use keylane_parts::{
    Kafka, KafkaOptions, Postgres, PostgresVersion, is_running, kill_tree, start_ticks,
};
use serde_json::{Value, json};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DATABASE: &str = "shop";

/// Starts the parts unless they run, and prints how to reach them.
pub(crate) fn up(root: &Path) -> TaskResult {
    if let Some(state) = read_state(root)? {
        if processes(&state).all(|process| process.runs()) {
            eprintln!("already up");
            print_exports(&state);
            return Ok(Outcome::Holds);
        }
        down(root)?;
    }
    let folder = fresh_folder()?;
    eprintln!("starting Kafka");
    let kafka = Kafka::start_in(KafkaOptions::default(), &folder.join("kafka"))?;
    eprintln!("starting PostgreSQL, the origin");
    let origin = Postgres::start_in(PostgresVersion::V15, &folder.join("origin"))?;
    eprintln!("starting PostgreSQL, the replica");
    let replica = Postgres::start_in(PostgresVersion::V15, &folder.join("replica"))?;
    origin.create_database(DATABASE)?;
    replica.create_database(DATABASE)?;
    let (bootstrap, origin_url, replica_url) = (
        kafka.bootstrap(),
        origin.url(DATABASE),
        replica.url(DATABASE),
    );
    let mut pids = kafka.pids();
    pids.extend(origin.pid().into_iter().chain(replica.pid()));
    let state = json!({
        "folder": folder,
        "processes": pids.iter().map(|pid| json!({"pid": pid, "start_ticks": start_ticks(*pid)})).collect::<Vec<_>>(),
        "exports": {"KEYLANE_KAFKA": bootstrap, "KEYLANE_ORIGIN": origin_url, "KEYLANE_REPLICA": replica_url},
    });
    // Written before they are let go: what runs on is always written down.
    write_state(root, &state)?;
    kafka.detach()?;
    origin.detach()?;
    replica.detach()?;
    eprintln!("up; end it with: cargo xtask down");
    print_exports(&state);
    Ok(Outcome::Holds)
}

/// Ends what `up` started and removes its data.
pub(crate) fn down(root: &Path) -> TaskResult {
    let Some(state) = read_state(root)? else {
        eprintln!("nothing is up");
        return Ok(Outcome::Holds);
    };
    for process in processes(&state).filter(Process::runs) {
        eprintln!("ending process {}", process.pid);
        kill_tree(process.pid)?;
    }
    if let Some(folder) = state.get("folder").and_then(Value::as_str) {
        remove(Path::new(folder))?;
    }
    remove(&state_folder(root))?;
    Ok(Outcome::Holds)
}

struct Process {
    pid: u32,
    start_ticks: Option<u64>,
}

impl Process {
    /// Whether it is still the one that was started, and not another that was given its id.
    fn runs(&self) -> bool {
        is_running(self.pid) && start_ticks(self.pid) == self.start_ticks
    }
}

fn processes(state: &Value) -> impl Iterator<Item = Process> {
    let listed = state.get("processes").and_then(Value::as_array);
    listed.into_iter().flatten().filter_map(|process| {
        Some(Process {
            pid: process.get("pid")?.as_u64()?.try_into().ok()?,
            start_ticks: process.get("start_ticks")?.as_u64(),
        })
    })
}

fn print_exports(state: &Value) {
    let exports = state.get("exports").and_then(Value::as_object);
    for (name, value) in exports.into_iter().flatten() {
        println!("export {name}={}", value.as_str().unwrap_or_default());
    }
}

/// Not under the repository: PostgreSQL may have to run as another user, who may not be let in there.
fn fresh_folder() -> Result<PathBuf, Box<dyn Error>> {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    let name = format!("keylane-dev-{}-{}", since.as_secs(), std::process::id());
    let folder = std::env::temp_dir().join(name);
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn state_folder(root: &Path) -> PathBuf {
    root.join(".keylane-dev")
}

fn read_state(root: &Path) -> Result<Option<Value>, Box<dyn Error>> {
    let path = state_folder(root).join("state.json");
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(serde_json::from_str(&text).map_err(|error| {
            format!("{} cannot be read: {error}; remove it", path.display())
        })?)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{}: {error}", path.display()).into()),
    }
}

fn write_state(root: &Path, state: &Value) -> Result<(), Box<dyn Error>> {
    let folder = state_folder(root);
    fs::create_dir_all(&folder)?;
    let unfinished = folder.join("state.json.new");
    fs::write(&unfinished, serde_json::to_string_pretty(state)?)?;
    fs::rename(&unfinished, folder.join("state.json"))?;
    Ok(())
}

fn remove(folder: &Path) -> Result<(), Box<dyn Error>> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("removing {}: {error}", folder.display()).into())
        }
        _ => Ok(()),
    }
}
