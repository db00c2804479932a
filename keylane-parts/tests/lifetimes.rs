//! What is started ends with its starter.

use keylane_parts::{
    Postgres, PostgresVersion, Result, Signal, end_with_this_process, free_port, is_running,
    kill_tree, quick, send_signal, start_ticks, usage_of, wait_until,
};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const STARTER: &str = "KEYLANE_PARTS_TEST_STARTER";

#[test]
fn a_child_dies_with_its_starter_even_when_that_is_killed() -> Result<()> {
    if std::env::var_os(STARTER).is_some() {
        let mut child = Command::new("sleep")
            .arg("600")
            .spawn()
            .expect("sleep runs");
        let registered = end_with_this_process(&child);
        println!("\nstarted {}", child.id());
        let _ = child.wait();
        return registered;
    }
    let started = killed_once_it_has_started(
        "lifetimes::a_child_dies_with_its_starter_even_when_that_is_killed",
    );
    let child: u32 = started.parse().expect("a process id");
    wait_until(
        "the child to die with its starter",
        Duration::from_secs(20),
        || Ok(!is_running(child)),
    )
}

#[test]
#[expect(
    clippy::zombie_processes,
    reason = "the starter is killed, and whoever is its child then is the test's to end"
)]
fn a_process_that_got_a_dead_child_s_id_is_left_alone() -> Result<()> {
    // Where the next id is chosen, which takes root.
    const LAST_ID: &str = "/proc/sys/kernel/ns_last_pid";
    let long = || {
        Command::new("sleep")
            .arg("600")
            .spawn()
            .expect("sleep runs")
    };
    if std::env::var_os(STARTER).is_some() {
        let mut child = long();
        let (id, began) = (child.id(), start_ticks(child.id()));
        end_with_this_process(&child)?;
        child.kill().expect("it runs");
        child.wait().expect("it is ours");
        wait_until(
            "the id to be given out again",
            Duration::from_secs(20),
            || {
                std::fs::write(LAST_ID, (id - 1).to_string()).expect("root may");
                let mut other = long();
                // The kernel counts in hundredths of a second.
                let given = other.id() == id && start_ticks(id) != began;
                if !given {
                    other.kill().expect("it runs");
                    other.wait().expect("it is ours");
                }
                Ok(given)
            },
        )?;
        let mut own = long();
        end_with_this_process(&own)?;
        println!("\nstarted {id} {}", own.id());
        let _ = own.wait();
        return Ok(());
    }
    if std::fs::OpenOptions::new()
        .write(true)
        .open(LAST_ID)
        .is_err()
    {
        eprintln!("left out: choosing a process id takes root");
        return Ok(());
    }
    let started =
        killed_once_it_has_started("lifetimes::a_process_that_got_a_dead_child_s_id_is_left_alone");
    let (other, own) = started.split_once(' ').expect("two ids");
    let (other, own): (u32, u32) = (other.parse().expect("an id"), own.parse().expect("an id"));
    // It was registered last, so whoever is killed by mistake was killed before it.
    wait_until(
        "the starter's own child to end",
        Duration::from_secs(20),
        || Ok(!is_running(own)),
    )?;
    assert!(is_running(other), "it was killed for another");
    send_signal(other, Signal::Kill).expect("nobody else ends it");
    Ok(())
}

#[test]
fn a_killed_starter_leaves_neither_server_nor_folder() -> Result<()> {
    if quick() {
        return Ok(());
    }
    if std::env::var_os(STARTER).is_some() {
        let postgres = Postgres::start(PostgresVersion::V15)?;
        let data = postgres.psql("postgres", "show data_directory")?;
        println!("\nstarted {} {data}", postgres.pid().expect("it runs"));
        // Until it is killed.
        let mut sleep = Command::new("sleep")
            .arg("600")
            .spawn()
            .expect("sleep runs");
        let registered = end_with_this_process(&sleep);
        let _ = sleep.wait();
        return registered;
    }
    let started =
        killed_once_it_has_started("lifetimes::a_killed_starter_leaves_neither_server_nor_folder");
    let (pid, data) = started.split_once(' ').expect("two words");
    let (pid, data): (u32, _) = (pid.parse().expect("a process id"), Path::new(data));
    let within = Duration::from_secs(20);
    wait_until("the server to be gone", within, || Ok(!is_running(pid)))?;
    wait_until("its folder to be gone", within, || {
        Ok(data.parent().is_some_and(|folder| !folder.exists()))
    })
}

/// Runs `test` again in a process that is killed as soon as it has said what it started; returns that.
fn killed_once_it_has_started(test: &str) -> String {
    let itself = std::env::current_exe().expect("a test binary has a path");
    let mut starter = Command::new(itself)
        .args(["--exact", "--nocapture", test])
        .env(STARTER, "1")
        .stdout(Stdio::piped())
        .spawn()
        .expect("the test binary runs");
    let output = BufReader::new(starter.stdout.take().expect("piped"));
    let started = output
        .lines()
        .map_while(std::result::Result::ok)
        .find_map(|line| Some(line.strip_prefix("started ")?.to_owned()));
    starter.kill().expect("it runs");
    starter.wait().expect("it was ours");
    started.expect("the starter says what it started")
}

#[test]
fn killing_a_tree_takes_the_children_along() -> Result<()> {
    let mut parent = Command::new("sh")
        .args(["-c", "sleep 600 & echo $!; wait"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("sh runs");
    let mut line = String::new();
    let mut output = BufReader::new(parent.stdout.take().expect("piped"));
    output.read_line(&mut line).expect("it prints");
    let child: u32 = line.trim().parse().expect("a process id");
    assert!(is_running(child));
    let killed = kill_tree(parent.id());
    parent.wait().expect("it was ours");
    assert!(!is_running(child));
    killed
}

#[test]
fn ports_are_never_handed_out_twice() -> Result<()> {
    let mut leases = Vec::new();
    for _ in 0..50 {
        leases.push(free_port()?);
    }
    let mut ports: Vec<u16> = leases.iter().map(keylane_parts::PortLease::port).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 50);
    Ok(())
}

#[test]
fn a_halted_process_goes_on_when_told() -> Result<()> {
    let mut busy = Command::new("sh")
        .args(["-c", "while :; do :; done"])
        .spawn()
        .expect("sh runs");
    let pid = busy.id();
    let cpu_ms = || usage_of(pid).map_or(0, |usage| usage.cpu_ms);
    let observed = (|| {
        let registered = end_with_this_process(&busy);
        wait_until("sh to be busy", Duration::from_secs(20), || {
            Ok(cpu_ms() > 20)
        })?;
        send_signal(pid, Signal::Stop).expect("it is ours");
        let halted = cpu_ms();
        send_signal(pid, Signal::Continue).expect("it is ours");
        wait_until("sh to go on", Duration::from_secs(20), || {
            Ok(cpu_ms() > halted + 20)
        })?;
        registered
    })();
    let memory = usage_of(pid).map_or(0, |usage| usage.resident_bytes);
    busy.kill().expect("it is ours");
    busy.wait().expect("it is ours");
    assert!((100_000..100_000_000).contains(&memory), "{memory} bytes");
    observed
}
