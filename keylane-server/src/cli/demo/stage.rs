//! Everything the demo plays with: the folder, both databases, the configuration, the workers.

use std::fs;
use std::path::{Path, PathBuf};

use keylane::workers::stats::now_us;

use super::display::View;
use super::folder::{Folder, Leaves};
use super::shop;
use super::traffic::{Dice, Traffic};
use super::workers::{Role, Workers};
use crate::config::Config;
use crate::exit_code::{Exit, Failure};
use crate::wire_up::{Road, roads};

/// The demo's configuration, as it stands in its folder.
const CONFIGURATION: &str = include_str!("keylane.yaml");
/// What it leaves there.
const LEAVES: Leaves = Leaves {
    databases: &["origin.db", "replica.db"],
    others: &["keylane.yaml", "capture.log", "apply.log", ".keylane"],
};
/// A worker that has said nothing for so long is not believed about its lag.
const SILENT_US: i64 = 1_500_000;

/// The newest commits of the origin that were seen captured and applied, microseconds since 1970.
#[derive(Clone, Copy, Debug, Default)]
struct Newest {
    captured_us: i64,
    applied_us: i64,
}

/// The stage.
pub struct Stage {
    /// Where it is.
    pub folder: Folder,
    /// The origin.
    pub origin: PathBuf,
    /// The replica.
    pub replica: PathBuf,
    /// The road, to write its markers and read its progress.
    pub road: Road,
    /// Where all chance comes from.
    pub seed: u64,
    /// The chance of the kills.
    pub dice: Dice,
    /// Rows in the origin before capture starts.
    pub rows_before: u64,
    /// The highest version that the initial copy can have read.
    pub copied_up_to: i64,
    copying: bool,
    /// What the capturer told last.
    rows_copied: u64,
    newest: Newest,
    traffic_dice: Option<Dice>,
    config: Config,
    workers: Option<Workers>,
}

impl Stage {
    /// Makes the folder, fills the origin, creates the replica's tables with their triggers.
    ///
    /// # Errors
    /// If the folder cannot be used or a database not be made.
    pub async fn set(dir: Option<&Path>, seed: u64) -> Result<Self, Failure> {
        let folder = Folder::take(dir, LEAVES)?;
        let cannot = |what: &str, error: &dyn std::fmt::Display| {
            Failure::new(Exit::Error, format!("the demo cannot {what}: {error}"))
        };
        let (origin, replica) = (folder.file("origin.db"), folder.file("replica.db"));
        let mut dice = Dice::new(seed);
        let mut shop = shop::create(&origin).map_err(|error| cannot("make its origin", &error))?;
        let rows_before =
            shop::fill(&mut shop, &mut dice).map_err(|error| cannot("fill its origin", &error))?;
        shop::create(&replica).map_err(|error| cannot("make its replica", &error))?;
        let path = folder.file("keylane.yaml");
        fs::write(&path, CONFIGURATION)
            .map_err(|error| cannot("write its configuration", &error))?;
        let config =
            Config::load(&path).map_err(|error| cannot("use its configuration", &error))?;
        let road = roads(&config, &[])
            .await?
            .pop()
            .ok_or_else(|| cannot("find its pipeline", &"the configuration has none"))?;
        let copied_up_to = dice.last_version();
        Ok(Stage {
            folder,
            origin,
            replica,
            road,
            seed,
            dice: Dice::new(seed ^ 0x6b69_6c6c),
            rows_before,
            copied_up_to,
            copying: true,
            rows_copied: 0,
            newest: Newest::default(),
            traffic_dice: Some(dice),
            config,
            workers: None,
        })
    }
    /// Starts both workers.
    ///
    /// # Errors
    /// If a process cannot be started.
    pub fn start_workers(&mut self) -> Result<(), Failure> {
        let workers = Workers::start(
            self.folder.file("keylane.yaml"),
            self.config.state_dir.clone(),
        );
        let workers = workers.map_err(|error| {
            Failure::new(
                Exit::Error,
                format!("the workers cannot be started: {error}"),
            )
        })?;
        self.workers = Some(workers);
        Ok(())
    }

    /// Starts the shop's traffic; once.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn start_traffic(&mut self, changes_per_s: u32) -> Result<Traffic, Failure> {
        let dice = self
            .traffic_dice
            .take()
            .ok_or_else(|| Failure::new(Exit::Error, "the traffic was started twice"))?;
        let traffic = Traffic::start(self.origin.clone(), dice, changes_per_s);
        traffic.map_err(|error| {
            Failure::new(
                Exit::Error,
                format!("the shop's traffic cannot be started: {error}"),
            )
        })
    }

    /// The workers.
    ///
    /// # Errors
    /// If they were not started.
    pub fn workers(&mut self) -> Result<&mut Workers, Failure> {
        self.workers
            .as_mut()
            .ok_or_else(|| Failure::new(Exit::Error, "the workers were not started"))
    }

    /// Notes the shop's version for as long as the initial copy goes on, and when rows were copied again: by a capturer whose predecessor was killed with its last
    /// rows copied and not yet noted in the log.
    pub fn note_copy(&mut self, version: i64) {
        let Some(workers) = &self.workers else { return };
        let status = &workers.capture_status;
        let more =
            std::mem::replace(&mut self.rows_copied, status.snapshot_rows) != status.snapshot_rows;
        // Noted once more when it is told that the copy is over: rows may have been read since the last time.
        if self.copying || more {
            self.copied_up_to = version;
        }
        // A capturer that starts does not know yet whether there is something left to copy.
        self.copying &= status.state != "streaming";
    }

    /// What is to be shown now.
    pub fn view(&mut self) -> View {
        let Some(workers) = self.workers.as_mut() else {
            return View::default();
        };
        let now = now_us();
        let silent = |workers: &mut Workers, role| {
            workers.is_away(role) || now - workers.told_us(role) > SILENT_US
        };
        let (capture_silent, apply_silent) =
            (silent(workers, Role::Capture), silent(workers, Role::Apply));
        let (capture, apply) = (&workers.capture_status, &workers.apply_status);
        self.newest.captured_us = self.newest.captured_us.max(capture.last_commit_us);
        self.newest.applied_us = self.newest.applied_us.max(apply.last_commit_us);
        // The traffic never rests, so what a silent worker has not told is as old as its last word.
        let since = |commit_us: i64| {
            if commit_us == 0 {
                0
            } else {
                u64::try_from((now - commit_us) / 1000).unwrap_or(0)
            }
        };
        let captured_ms = if capture_silent {
            since(self.newest.captured_us)
        } else {
            0
        };
        let applied_ms = if apply_silent {
            since(self.newest.applied_us)
        } else {
            apply.lag_ms
        };
        let word = |silent: bool, state: &str| {
            if silent || state.is_empty() {
                "starting".to_owned()
            } else {
                state.replace('_', " ")
            }
        };
        View {
            totals: workers.totals(),
            lag_ms: captured_ms.max(applied_ms),
            busy: (apply.busy, apply.threads),
            capturing: word(capture_silent, &capture.state),
            applying: word(apply_silent, &apply.state),
        }
    }

    /// What keeps the road from settling, in words.
    pub fn what_holds(&self) -> String {
        let Some(workers) = &self.workers else {
            return "no worker runs".into();
        };
        let (capture, apply) = (&workers.capture_status, &workers.apply_status);
        format!(
            "capture is {} {}; apply is {} {}, {} records behind, {} keys parked; logs in {}",
            capture.state,
            capture.why,
            apply.state,
            apply.why,
            apply.records_behind,
            apply.parked_keys,
            self.folder.path().display()
        )
    }

    /// Stops the workers before their time. What they say about it is of no matter any more.
    pub fn abandon(&mut self) {
        if let Some(workers) = &mut self.workers {
            let _ = workers.drain();
        }
    }
}
