//! `test`: everything that must hold before a change goes in. The last line of stdout is the sum of all tests, alone.

use crate::report::{Outcome, TaskResult};
use crate::sim;
use crate::steps::{Steps, cargo, succeeds};
use crate::summary::Summary;
use crate::tidy;
use keylane_parts::{Tool, ensure_installed};
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// Seeds, and the most seconds that each variant may take.
const SIM: (&str, &str) = ("20000", "15");
const SIM_QUICK: (&str, &str) = ("500", "3");
const VERSIONS_SLOW: &str = "14,15,17,18";
/// Versions of the PostgreSQL that tests share, after 15.
const REPLICA_VERSIONS_SLOW: [&str; 3] = ["14", "17", "18"];
/// What is tested in a build of its own, with TLS to Kafka.
const TLS: [&str; 5] = [
    "-p",
    "keylane",
    "-p",
    "keylane-server",
    "--features=kafka-ssl",
];

#[derive(clap::Args)]
pub(crate) struct TestArguments {
    /// Only what needs no outside parts
    #[arg(long, conflicts_with = "slow")]
    quick: bool,
    /// PostgreSQL 14, 17 and 18 too, TLS to Kafka, and longer fault runs
    #[arg(long)]
    slow: bool,
    /// Only the tests whose names hold this; formats, lints and rules are left out
    filter: Option<String>,
}

pub(crate) fn run(root: &Path, arguments: &TestArguments) -> TaskResult {
    let mut steps = Steps::new();
    if arguments.filter.is_none() {
        checks(root, arguments, &mut steps);
    }
    if !arguments.quick {
        steps.step("parts: Java, Maven, PostgreSQL", || {
            ensure_installed(&[Tool::Java, Tool::Maven, Tool::Postgres]).map(|()| true)
        });
    }
    if arguments.filter.is_none() && sim::is_there(root) {
        let (seeds, seconds) = if arguments.quick { SIM_QUICK } else { SIM };
        steps.step("simulator", || {
            succeeds(&mut sim::command(
                root,
                &["--seeds", seeds, "--seconds", seconds],
            ))
        });
    }
    let mut summary = Summary::default();
    let (all, filter) = (["--workspace"], arguments.filter.as_slice());
    steps.step("tests", || {
        cargo_test(root, arguments, &all, filter, None, &mut summary)
    });
    if arguments.slow && arguments.filter.is_none() {
        versions(root, arguments, &mut steps, &mut summary);
        tls(root, arguments, &mut steps, &mut summary);
    }
    for step in steps.failed() {
        eprintln!("failed: {step}");
    }
    println!("{summary}");
    Ok(Outcome::from(steps.failed().is_empty()))
}

fn checks(root: &Path, arguments: &TestArguments, steps: &mut Steps) {
    steps.step("format", || {
        succeeds(&mut cargo(root, &["fmt", "--all", "--", "--check"]))
    });
    let clippy = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ];
    steps.step("lints", || succeeds(&mut cargo(root, &clippy)));
    steps.step("house rules", || {
        tidy::run(root).map(|outcome| outcome == Outcome::Holds)
    });
    steps.step("licences and sources", || licences(root, arguments));
}

/// Everything that comes in has a licence that may, and comes from where it may. A quick run, which fetches nothing, leaves it out where the checker is not there yet.
fn licences(root: &Path, arguments: &TestArguments) -> Result<bool, Box<dyn Error>> {
    if arguments.quick && !keylane_parts::has_cargo_deny() {
        eprintln!("left out: cargo-deny is not here yet; a run without --quick fetches it");
        return Ok(true);
    }
    let program = keylane_parts::cargo_deny()?;
    let checks = [
        (&[][..], &["licenses", "bans", "sources"][..]),
        // With the TLS that is not in every build, which the bans are about.
        (
            &["--features", "keylane-server/kafka-ssl-vendored"],
            &["licenses", "sources"],
        ),
    ];
    let mut all = true;
    for (features, what) in checks {
        let mut deny = Command::new(&program);
        // Two versions of one crate are a warning, and no breach.
        deny.current_dir(root).args(["--log-level", "error"]);
        deny.args(features).arg("check").args(what);
        all &= succeeds(&mut deny)?;
    }
    Ok(all)
}

/// What is about PostgreSQL as a replica, on the versions that tests do not share otherwise.
fn versions(root: &Path, arguments: &TestArguments, steps: &mut Steps, summary: &mut Summary) {
    // Behind the dashes, since cargo itself takes one name only.
    let filter = ["--", "postgres_apply", "foreign_keys", "zombies"].map(str::to_owned);
    for version in REPLICA_VERSIONS_SLOW {
        steps.step(&format!("tests, on PostgreSQL {version}"), || {
            let packages = ["-p", "keylane", "-p", "keylane-server"];
            let shared = Some(("KEYLANE_TEST_POSTGRES_SHARED", version));
            let mut these = Summary::default();
            let held = cargo_test(root, arguments, &packages, &filter, shared, &mut these);
            // The others are not skipped: they ran before.
            summary.passed += these.passed;
            summary.failed += these.failed;
            held
        });
    }
}

/// The build that speaks TLS to Kafka: its lints, and the tests that are about it.
fn tls(root: &Path, arguments: &TestArguments, steps: &mut Steps, summary: &mut Summary) {
    let there = steps.step("parts: OpenSSL's headers", || {
        ensure_installed(&[Tool::OpensslHeaders]).map(|()| true)
    });
    if !there {
        return;
    }
    steps.step("lints, with TLS to Kafka", || {
        let mut clippy = cargo(root, &["clippy", "--all-targets"]);
        succeeds(clippy.args(TLS).args(["--", "-D", "warnings"]))
    });
    let filter = ["kafka".to_owned()];
    let mut these = Summary::default();
    steps.step("tests, with TLS to Kafka", || {
        cargo_test(root, arguments, &TLS, &filter, None, &mut these)
    });
    // The others are not skipped: they ran before.
    summary.passed += these.passed;
    summary.failed += these.failed;
}

fn cargo_test(
    root: &Path,
    arguments: &TestArguments,
    packages: &[&str],
    filter: &[String],
    variable: Option<(&str, &str)>,
    summary: &mut Summary,
) -> Result<bool, Box<dyn Error>> {
    let skipped = std::env::temp_dir().join(format!("keylane-skipped-{}", std::process::id()));
    std::fs::write(&skipped, "")?;
    let mut tests = cargo(root, &["test", "--no-fail-fast"]);
    tests
        .args(packages)
        .args(filter)
        .envs(variable)
        .env("KEYLANE_TEST_SKIPPED_FILE", &skipped)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    if arguments.quick {
        tests.env("KEYLANE_TEST_QUICK", "1");
    }
    if arguments.slow {
        tests.env("KEYLANE_TEST_SLOW", "1");
        if std::env::var_os("KEYLANE_TEST_POSTGRES_VERSIONS").is_none() {
            tests.env("KEYLANE_TEST_POSTGRES_VERSIONS", VERSIONS_SLOW);
        }
    }
    let mut running = tests.spawn()?;
    let output = running.stdout.take().ok_or("the tests have no output")?;
    for line in BufReader::new(output).split(b'\n') {
        let line = line?;
        let text = String::from_utf8_lossy(&line);
        summary.read(&text);
        writeln!(std::io::stdout(), "{text}")?;
    }
    let status = running.wait()?;
    let early = std::fs::read_to_string(&skipped).unwrap_or_default();
    summary.skipped_early(u64::try_from(early.lines().count())?);
    let _ = std::fs::remove_file(&skipped);
    if !status.success() && summary.failed == 0 {
        eprintln!("the tests did not run to their end: {status}");
    }
    Ok(status.success())
}
