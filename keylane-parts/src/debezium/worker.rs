//! A running Connect with Debezium's connectors.

use super::options::{DebeziumOptions, SINK, SOURCE};
use super::{plugins, rest};
use crate::error::{IoContext, Result};
use crate::kafka::Java;
use crate::ports::{PortLease, free_port};
use crate::process::Process;
use crate::signal::Signal;
use crate::work_dir::WorkDir;
use std::path::PathBuf;
use std::time::Duration;

const READY_WITHIN: Duration = Duration::from_secs(180);
const STOPPED_WITHIN: Duration = Duration::from_secs(60);
const CLASS: &str = "org.apache.kafka.connect.cli.ConnectStandalone";

/// Debezium 3.4.0 on a standalone Kafka Connect, in a temporary folder that goes with it. Dropping it kills it.
#[derive(Debug)]
pub struct Debezium {
    worker: Option<Process>,
    options: DebeziumOptions,
    java: Java,
    rest: PortLease,
    // After the worker, so that the folder is removed when nobody writes into it.
    dir: WorkDir,
}

impl Debezium {
    /// Starts the connectors that `options` name; returns when their tasks run and, with a source, its slot is being read.
    ///
    /// # Errors
    /// When Java or Maven are missing and cannot be installed, or the tasks do not run within three minutes.
    pub fn start(options: DebeziumOptions) -> Result<Self> {
        let (java, plugins) = (Java::of_kafka()?, plugins::folder()?);
        let (dir, rest) = (WorkDir::temporary("debezium")?, free_port()?);
        let worker = options.worker_properties(dir.path(), &plugins, rest.port());
        let files = [
            ("worker", Some(worker)),
            (SOURCE, options.source_properties()),
            (SINK, options.sink_properties()),
        ];
        for (name, text) in files {
            if let Some(text) = text {
                let path = dir.path().join(format!("{name}.properties"));
                std::fs::write(&path, text).doing("writing a connector's settings", &path)?;
            }
        }
        let mut debezium = Self {
            worker: None,
            options,
            java,
            rest,
            dir,
        };
        debezium.restart()?;
        Ok(debezium)
    }

    /// Starts it again when it does not run, with what it had stored of its positions; returns as [`Debezium::start`] does.
    ///
    /// # Errors
    /// When the tasks do not run within three minutes.
    pub fn restart(&mut self) -> Result<()> {
        if let Some(worker) = &mut self.worker
            && !worker.has_ended()?
        {
            return Ok(());
        }
        let mut java = self.java.run(CLASS, self.options.heap_mb);
        java.arg(self.file("worker"));
        let connectors = self.options.connectors();
        java.args(connectors.iter().map(|name| self.file(name)));
        let log = self.dir.path().join("connect.log");
        let mut worker = Process::spawn("Debezium", &mut java, &log)?;
        let (port, slot) = (self.rest.port(), self.options.slot());
        for name in connectors {
            let awaited = format!("Debezium's {name} connector and its tasks to run");
            worker.wait_ready(&awaited, READY_WITHIN, || rest::runs(port, name))?;
        }
        if let Some(origin) = &self.options.origin {
            let sql = format!("select active from pg_replication_slots where slot_name = '{slot}'");
            let awaited = format!("Debezium to read the slot {slot}");
            worker.wait_ready(&awaited, READY_WITHIN, || {
                origin.ask(&sql).is_ok_and(|active| active == "t")
            })?;
        }
        self.worker = Some(worker);
        Ok(())
    }

    /// Its process id while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.worker.as_ref().map(Process::pid)
    }

    /// SIGKILL; returns when it is gone. What it had stored stays.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill9(&mut self) -> Result<()> {
        match self.worker.take() {
            Some(mut worker) => worker.kill9(),
            None => Ok(()),
        }
    }

    /// Orderly end; what it had stored stays until this value is dropped.
    ///
    /// # Errors
    /// When it has to be killed after a minute.
    pub fn stop(&mut self) -> Result<()> {
        match self.worker.take() {
            Some(mut worker) => worker.stop(Signal::Terminate, STOPPED_WITHIN),
            None => Ok(()),
        }
    }

    /// The last lines of its log while it runs.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let worker = self.worker.as_ref();
        worker.map_or_else(String::new, Process::log_tail)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("{name}.properties"))
    }
}
