//! A running PostgreSQL: its folder, its postmaster, and what can be done to it.

use super::address::Address;
use super::binaries::{PostgresVersion, program};
use super::options::PostgresOptions;
use crate::error::{IoContext, PartsError, Result};
use crate::install::{is_root, run, user_ids};
use crate::ports::{PortLease, free_port};
use crate::process::Process;
use crate::signal::Signal;
use crate::work_dir::WorkDir;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const READY_WITHIN: Duration = Duration::from_secs(120);
const STOPPED_WITHIN: Duration = Duration::from_secs(60);
const SUPERUSER: &str = "postgres";

/// PostgreSQL on a loopback port, in a temporary folder that goes with it; the superuser is `postgres`. Dropping it kills it.
#[derive(Debug)]
pub struct Postgres {
    postmaster: Option<Process>,
    options: PostgresOptions,
    bin: PathBuf,
    lease: PortLease,
    // After the postmaster, so that the folder is removed when nobody writes into it.
    dir: WorkDir,
}

impl Postgres {
    /// Starts a server of this version, or as the given [`PostgresOptions`] say.
    ///
    /// # Errors
    /// When its programs are missing and cannot be fetched, or it does not accept connections within two minutes.
    pub fn start(options: impl Into<PostgresOptions>) -> Result<Self> {
        Self::launch(options.into(), WorkDir::temporary("postgres")?)
    }

    /// Starts a server with its files in `dir`, which stays.
    ///
    /// # Errors
    /// As [`Postgres::start`].
    pub fn start_in(options: impl Into<PostgresOptions>, dir: &Path) -> Result<Self> {
        Self::launch(options.into(), WorkDir::named(dir)?)
    }

    fn launch(options: PostgresOptions, dir: WorkDir) -> Result<Self> {
        let bin = options.version.server_bin()?;
        if is_root() {
            let (uid, gid) = unprivileged_ids()?;
            std::os::unix::fs::chown(dir.path(), Some(uid), Some(gid))
                .doing("giving a folder to the user postgres", dir.path())?;
        }
        let mut postgres = Self {
            postmaster: None,
            options,
            bin,
            lease: free_port()?,
            dir,
        };
        postgres.init()?;
        postgres.take_certificate()?;
        postgres.restart()?;
        Ok(postgres)
    }

    /// `postgres://postgres@127.0.0.1:PORT/DB`, with the password in it when one is asked for. The same over restarts.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.address(database).url()
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.lease.port()
    }

    /// The major version that runs.
    #[must_use]
    pub fn version(&self) -> PostgresVersion {
        self.options.version
    }

    /// The postmaster's process id while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.postmaster.as_ref().map(Process::pid)
    }

    /// A program such as `psql`, `pgbench` or `pg_dump`: this version's own, or of the newest version installed on the machine.
    #[must_use]
    pub fn bin(&self, name: &str) -> PathBuf {
        program(&self.bin, name)
    }

    /// A client program of PostgreSQL that is already pointed at `database` of this server by its environment.
    #[must_use]
    pub fn client(&self, name: &str, database: &str) -> Command {
        self.address(database).client(&self.bin, name)
    }

    /// Runs `sql` through psql; stops at the first error. Returns the rows, columns separated by `|`, without the last line end.
    ///
    /// # Errors
    /// With what psql said.
    pub fn psql(&self, database: &str, sql: &str) -> Result<String> {
        self.address(database).ask(sql)
    }

    /// Creates the database `name`.
    ///
    /// # Errors
    /// When it exists, or with what psql said.
    pub fn create_database(&self, name: &str) -> Result<()> {
        let quoted = name.replace('"', "\"\"");
        self.psql("postgres", &format!("create database \"{quoted}\""))?;
        Ok(())
    }

    /// SIGKILL to the postmaster and all its children; returns when they are gone. The data stays.
    ///
    /// # Errors
    /// When a process cannot be killed.
    pub fn kill9(&mut self) -> Result<()> {
        match self.postmaster.take() {
            Some(mut postmaster) => postmaster.kill9(),
            None => Ok(()),
        }
    }

    /// Starts it again when it does not run, on its old port with its old data; returns when it accepts connections (after a kill: when it has recovered).
    ///
    /// # Errors
    /// When it does not within two minutes.
    pub fn restart(&mut self) -> Result<()> {
        if let Some(postmaster) = &mut self.postmaster
            && !postmaster.has_ended()?
        {
            return Ok(());
        }
        let mut command = self.server_program("postgres")?;
        command.arg("-D").arg(self.data());
        command.arg("-p").arg(self.port().to_string());
        let sockets = self.dir.path().display().to_string();
        let sockets = ("unix_socket_directories".to_owned(), sockets);
        for (name, value) in self
            .options
            .settings
            .iter()
            .chain([(&sockets.0, &sockets.1)])
        {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        let log = self.dir.path().join("server.log");
        let mut postmaster = Process::spawn("PostgreSQL", &mut command, &log)?;
        let pid_file = self.data().join("postmaster.pid");
        let pid = postmaster.pid();
        let awaited = format!(
            "PostgreSQL {} to accept connections on 127.0.0.1:{}",
            self.options.version.major(),
            self.port()
        );
        postmaster.wait_ready(&awaited, READY_WITHIN, || says_ready(&pid_file, pid))?;
        self.postmaster = Some(postmaster);
        Ok(())
    }

    /// Orderly end (fast shutdown); the data stays until this value is dropped.
    ///
    /// # Errors
    /// When it has to be killed after a minute.
    pub fn stop(&mut self) -> Result<()> {
        match self.postmaster.take() {
            Some(mut postmaster) => postmaster.stop(Signal::Interrupt, STOPPED_WITHIN),
            None => Ok(()),
        }
    }

    /// Lets it go on after this process; the postmaster's id is returned, to end it by.
    ///
    /// # Errors
    /// When the guard that ends child processes cannot be told.
    pub fn detach(mut self) -> Result<Option<u32>> {
        let pid = self.pid();
        if let Some(postmaster) = &mut self.postmaster {
            postmaster.detach()?;
        }
        Ok(pid)
    }

    /// The last lines of the server's log while it runs.
    #[must_use]
    pub fn log_tail(&self) -> String {
        self.postmaster
            .as_ref()
            .map_or_else(String::new, Process::log_tail)
    }

    fn address(&self, database: &str) -> Address {
        Address {
            user: SUPERUSER.to_owned(),
            password: self.options.password.clone(),
            host: "127.0.0.1".to_owned(),
            port: self.port(),
            database: database.to_owned(),
        }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn init(&self) -> Result<()> {
        let mut initdb = self.server_program("initdb")?;
        // Syncing a fresh folder protects against power loss only; a kill loses nothing that was written.
        initdb.args(["--no-sync", "-E", "UTF8", "--locale=C", "-U", SUPERUSER]);
        initdb.arg("-D").arg(self.data());
        match &self.options.password {
            None => {
                initdb.args(["-A", "trust"]);
            }
            Some(password) => {
                let file = self.dir.path().join("password");
                std::fs::write(&file, password).doing("writing a password file", &file)?;
                initdb.args(["-A", "scram-sha-256", "--pwfile"]).arg(file);
            }
        }
        run("creating a PostgreSQL folder", &mut initdb)?;
        let path = self.data().join("pg_hba.conf");
        let usual = std::fs::read_to_string(&path).doing("reading who may connect", &path)?;
        let text = format!("{}{usual}", self.options.access);
        std::fs::write(&path, text).doing("writing who may connect", &path)
    }

    /// Copies the certificate to where the server's own user reads it; it refuses a key that others can read.
    fn take_certificate(&mut self) -> Result<()> {
        let Some(certificate) = self.options.certificate.clone() else {
            return Ok(());
        };
        for (from, name, setting) in [
            (certificate.certificate, "server.crt", "ssl_cert_file"),
            (certificate.key, "server.key", "ssl_key_file"),
            (certificate.authority, "authority.crt", "ssl_ca_file"),
        ] {
            let to = self.dir.path().join(name);
            std::fs::copy(&from, &to).doing("copying a certificate", &from)?;
            let only_owner = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(&to, only_owner).doing("closing a key to others", &to)?;
            if is_root() {
                let (uid, gid) = unprivileged_ids()?;
                std::os::unix::fs::chown(&to, Some(uid), Some(gid))
                    .doing("giving a file to the user postgres", &to)?;
            }
            let path = to.display().to_string();
            self.options.settings.insert(setting.to_owned(), path);
        }
        let on = ("ssl".to_owned(), "on".to_owned());
        self.options.settings.extend([on]);
        Ok(())
    }

    /// A server program of this version, run as a user that PostgreSQL accepts: it refuses root.
    fn server_program(&self, name: &str) -> Result<Command> {
        let mut command = Command::new(self.bin.join(name));
        command.current_dir(self.dir.path()).env("LC_ALL", "C");
        if is_root() {
            let (uid, gid) = unprivileged_ids()?;
            command.uid(uid).gid(gid);
        }
        Ok(command)
    }
}

fn unprivileged_ids() -> Result<(u32, u32)> {
    user_ids("postgres").ok_or_else(|| PartsError::Missing {
        what: "the system user postgres (PostgreSQL refuses to run as root)".to_owned(),
        remedy: "apt-get install -y postgresql".to_owned(),
    })
}

/// The eighth line of `postmaster.pid` says when connections are accepted; its first whether it is this postmaster's and not that of one that was killed.
fn says_ready(pid_file: &Path, pid: u32) -> bool {
    let Ok(text) = std::fs::read_to_string(pid_file) else {
        return false;
    };
    let mut lines = text.lines().map(str::trim);
    lines.next() == Some(pid.to_string().as_str()) && lines.nth(6) == Some("ready")
}
