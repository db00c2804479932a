//! What the parts need from the machine: installed where that is allowed (root on a Debian-like system), named with the command to get it elsewhere.

use crate::error::{PartsError, Result};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

const OUTPUT_TAIL_CHARS: usize = 3_000;

/// Something a part needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// A Java runtime, for Kafka.
    Java,
    /// Maven, which fetches Kafka and the PostgreSQL versions that the system does not package.
    Maven,
    /// A PostgreSQL server with its client programs and pgbench.
    Postgres,
    /// `unzip` and `xz`, for the fetched PostgreSQL versions.
    Unpackers,
    /// `kcat`, a reader of topics that is not ours.
    Kcat,
    /// The `openssl` command, which makes certificates.
    Openssl,
    /// What building against the system's OpenSSL takes.
    OpensslHeaders,
    /// Python's pip, which fetches published programs.
    Pip,
    /// Python.
    Python,
    /// Node with npm, which fetches its packages.
    Node,
}

impl Tool {
    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Java => &["default-jre-headless"],
            Self::Maven => &["maven"],
            Self::Postgres => &["postgresql", "postgresql-contrib"],
            Self::Unpackers => &["unzip", "xz-utils"],
            Self::Kcat => &["kcat"],
            Self::Openssl => &["openssl"],
            Self::OpensslHeaders => &["libssl-dev", "pkg-config"],
            Self::Pip => &["python3-pip"],
            Self::Python => &["python3"],
            Self::Node => &["nodejs", "npm"],
        }
    }

    fn is_there(self) -> bool {
        match self {
            Self::Java => on_path("java").is_some(),
            Self::Maven => on_path("mvn").is_some(),
            Self::Postgres => debian_postgres_bin(None).is_some(),
            Self::Unpackers => on_path("unzip").is_some() && on_path("xz").is_some(),
            Self::Kcat => on_path("kcat").is_some(),
            Self::Openssl => on_path("openssl").is_some(),
            Self::OpensslHeaders => says_yes("pkg-config", &["--exists", "openssl"]),
            Self::Pip => says_yes("python3", &["-m", "pip", "--version"]),
            Self::Python => on_path("python3").is_some(),
            Self::Node => on_path("node").is_some() && on_path("npm").is_some(),
        }
    }
}

/// Sees to it that all `tools` are there, installing what is missing as root on a Debian-like system.
///
/// # Errors
/// [`PartsError::Missing`] with the command that brings the rest, when installing is not possible from here.
pub fn ensure_installed(tools: &[Tool]) -> Result<()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let missing: Vec<Tool> = tools
        .iter()
        .copied()
        .filter(|tool| !tool.is_there())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing
        .iter()
        .flat_map(|tool| tool.packages())
        .copied()
        .collect();
    if !is_root() || on_path("apt-get").is_none() {
        return Err(PartsError::Missing {
            what: format!("{missing:?}"),
            remedy: format!(
                "sudo apt-get update && sudo apt-get install -y {} (or the like of your system)",
                packages.join(" ")
            ),
        });
    }
    eprintln!("installing {}", packages.join(" "));
    run("updating the package lists", apt().arg("update"))?;
    run(
        "installing packages",
        apt()
            .args(["install", "--no-install-recommends"])
            .args(&packages),
    )?;
    match missing.iter().find(|tool| !tool.is_there()) {
        None => Ok(()),
        Some(tool) => Err(PartsError::Missing {
            what: format!("{tool:?} (after installing {})", packages.join(" ")),
            remedy: "look at what apt-get printed".to_owned(),
        }),
    }
}

/// Whether a program is there and ends well when it is asked this.
fn says_yes(program: &str, question: &[&str]) -> bool {
    let asked = Command::new(program).args(question).output();
    asked.is_ok_and(|output| output.status.success())
}

fn apt() -> Command {
    let mut apt = Command::new("apt-get");
    apt.args(["-y", "-q", "-o", "DPkg::Lock::Timeout=300"])
        .env("DEBIAN_FRONTEND", "noninteractive");
    apt
}

/// Whether this process runs as root.
pub(crate) fn is_root() -> bool {
    user_id() == 0
}

/// The user this process runs as.
pub(crate) fn user_id() -> u32 {
    const NOBODY: u32 = 65_534;
    std::fs::metadata("/proc/self").map_or(NOBODY, |own| own.uid())
}

/// A user of this machine by name: its user and group id.
pub(crate) fn user_ids(name: &str) -> Option<(u32, u32)> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let this = fields.next()? == name;
        let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        this.then_some((uid, gid))
    })
}

/// The folder of Debian's server programs for `major`, or of the newest version installed.
pub(crate) fn debian_postgres_bin(major: Option<u32>) -> Option<PathBuf> {
    let entries = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let versions = entries.filter_map(|entry| {
        let version: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        Some(version)
    });
    let folder_of = |version: u32| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin"));
    versions
        .filter(|version| major.is_none_or(|major| major == *version))
        .filter(|version| folder_of(*version).join("postgres").is_file())
        .max()
        .map(folder_of)
}

/// Where `program` is found on the PATH.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|candidate| Path::is_file(candidate))
}

/// Runs `command` to its end; returns what it printed on stdout.
pub(crate) fn run(doing: &str, command: &mut Command) -> Result<String> {
    let failed = |command: &Command, outcome: String| PartsError::Command {
        doing: doing.to_owned(),
        command: shown(command),
        outcome,
    };
    let output = match command.stdin(std::process::Stdio::null()).output() {
        Ok(output) => output,
        Err(error) => return Err(failed(command, error.to_string())),
    };
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(stdout);
    }
    let said = format!("{stdout}{}", String::from_utf8_lossy(&output.stderr));
    let skip = said.chars().count().saturating_sub(OUTPUT_TAIL_CHARS);
    let tail: String = said.chars().skip(skip).collect();
    Err(failed(
        command,
        format!("{}\n{}", output.status, tail.trim()),
    ))
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}
