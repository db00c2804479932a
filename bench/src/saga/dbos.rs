//! DBOS Transact on a database of the same server: two-step workflows with steps that do nothing, by a small Go main (`bench/peers/dbos`).

use super::meter::{Meter, Parts, Sample};
use crate::report::{Report, Result};
use keylane_parts::usage_of;
use serde_json::Value;
use std::path::PathBuf;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, BufReader};

const VERSION: &str = "Transact Go 1.8.0, its own defaults (20 connections), workflows in the process that begins them";
const FROM: &str = "from";
const UNTIL: &str = "until";

/// The program, built if it is not.
pub(crate) struct Dbos {
    program: PathBuf,
    _folder: tempfile::TempDir,
}

/// A load; `rate` 0: closed.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) in_flight: u64,
    pub(crate) warm_up_s: u64,
    pub(crate) seconds: u64,
    pub(crate) rate: u64,
}

impl Dbos {
    pub(crate) fn build(report: &mut Report) -> Result<Self> {
        report.condition("dbos", VERSION);
        let folder = tempfile::tempdir()?;
        let program = folder.path().join("dbos");
        let status = std::process::Command::new("go")
            .current_dir(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("peers/dbos"))
            .env("GOTOOLCHAIN", "local")
            .args(["build", "-o"])
            .arg(&program)
            .arg(".")
            .status()
            .map_err(|error| format!("go, which builds DBOS's program: {error}"))?;
        match status.success() {
            true => Ok(Dbos {
                program,
                _folder: folder,
            }),
            false => Err("DBOS's program was not built".into()),
        }
    }

    /// One load, in a process of its own, on a database that is there.
    pub(crate) async fn run(
        &self,
        parts: &Parts<'_>,
        database: &str,
        load: Load,
    ) -> Result<Vec<(String, f64)>> {
        let url = parts.store.url(database);
        let meter = Meter::connect(&url).await?;
        let numbers = [load.in_flight, load.warm_up_s, load.seconds, load.rate];
        let mut child = tokio::process::Command::new(&self.program)
            .arg(format!("{url}?sslmode=disable"))
            .args(numbers.map(|it| it.to_string()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().ok_or("DBOS's program has ended")?;
        let told = child.stdout.take().ok_or("it has no output")?;
        let mut lines = BufReader::new(told).lines();
        let (mut samples, mut last) = (Vec::new(), String::new());
        let mut resident_bytes = 0;
        while let Some(line) = lines.next_line().await? {
            match &*line {
                FROM | UNTIL => {
                    samples.push(Sample::take(parts, &meter, pid, None, 0).await?);
                    resident_bytes = usage_of(pid).unwrap_or_default().resident_bytes;
                }
                _ => last = line,
            }
        }
        let status = child.wait().await?;
        let told: Value = serde_json::from_str(&last)
            .map_err(|_| format!("DBOS's program ended ({status}) and told nothing"))?;
        let number = |name: &str| told[name].as_f64().unwrap_or(f64::NAN);
        let [from, until] = samples[..] else {
            return Err("DBOS's program did not tell when it was measured".into());
        };
        let mut figures = from.until(&until.with(number("sagas") as u64));
        figures.push(("resident_mb".to_owned(), resident_bytes as f64 / 1e6));
        for name in ["p50_ms", "p99_ms", "load_late_ms_max"] {
            figures.push((name.to_owned(), number(name)));
        }
        Ok(figures)
    }
}
