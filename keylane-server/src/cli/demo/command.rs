//! The command: stage, traffic, kills, settle, proof, report.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;

use super::display::Display;
use super::kills::{self, Kill};
use super::report::{Report, tell};
use super::stage::Stage;
use super::traffic::Traffic;
use super::workers::Role;
use super::{ledger, proof, shop};
use crate::cli::{Format, runtime};
use crate::exit_code::{Exit, Failure};
use crate::shutdown;

/// How often the demo looks at its workers.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// A kill waits so long at most for the victim's next word, so that its counters are nearly complete.
const LAST_WORD_MAX: Duration = Duration::from_millis(700);
/// The road may take so long to carry what the origin has when the traffic stops, and as long again as the traffic lasted.
const SETTLE_MAX: Duration = Duration::from_secs(60);

/// The arguments of `keylane demo`.
#[derive(Debug, Args)]
pub struct DemoArguments {
    /// How long the shop's traffic runs.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(3..=86_400))]
    seconds: u32,
    /// Repeats the traffic and the moments of the kills of an earlier run.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Leave origin.db, replica.db and the logs in this folder (empty, new, or a former demo's); else a temporary one, kept only if something fails.
    #[arg(long, value_name = "PATH")]
    dir: Option<PathBuf>,
    /// Rows that the traffic changes in a second, about.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    rate: u32,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Spoil the replica before the proof, to see that the proof can fail.
    #[arg(long, value_enum, value_name = "HOW")]
    spoil: Option<Spoil>,
}

/// What is planted in the replica to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Spoil {
    /// One column of one row is changed.
    Difference,
    /// A row is written a second time as it is.
    Repeat,
    /// A row goes back to an earlier version and forward again.
    StepBack,
}

impl Spoil {
    /// The statements that do it, on the replica.
    pub fn statements(self) -> &'static str {
        match self {
            Spoil::Difference => {
                "DROP TRIGGER demo_customers_update;
                 UPDATE customers SET note = 'spoiled' WHERE id = (SELECT max(id) FROM customers)"
            }
            Spoil::Repeat => "UPDATE orders SET version = version WHERE version = (SELECT max(version) FROM orders)",
            Spoil::StepBack => {
                "CREATE TEMP TABLE spoiled AS
                   SELECT id, version AS latest, (SELECT min(version) FROM demo_history WHERE tbl = 'orders' AND key = CAST(id AS TEXT)) AS first
                   FROM orders WHERE version = (SELECT max(version) FROM orders WHERE CAST(id AS TEXT) IN
                     (SELECT key FROM demo_history WHERE tbl = 'orders' AND op = 'put' GROUP BY key HAVING count(*) > 1));
                 UPDATE orders SET version = (SELECT first FROM spoiled) WHERE id = (SELECT id FROM spoiled);
                 UPDATE orders SET version = (SELECT latest FROM spoiled) WHERE id = (SELECT id FROM spoiled)"
            }
        }
    }
}

/// Runs the demo and prints what it proved.
///
/// # Errors
/// What kept it from proving anything: a folder that cannot be used, a worker that ended by itself, an interruption.
pub fn run(arguments: &DemoArguments, quiet: bool, colors: (bool, bool)) -> Result<Exit, Failure> {
    let (colored_out, colored_err) = colors;
    let traffic = Duration::from_secs(u64::from(arguments.seconds));
    // On this thread: the kernel ties the workers' lives to the thread that starts them.
    let report = runtime()?.block_on(async {
        let stop = CancellationToken::new();
        let asked = shutdown::on_signal(stop.clone())?;
        let seed = arguments
            .seed
            .unwrap_or_else(|| rand::random_range(1..1_000_000));
        let mut stage = Stage::set(arguments.dir.as_deref(), seed).await?;
        let play = Play {
            arguments,
            traffic,
            display: Display::new(traffic, quiet, colored_err),
            stop: stop.clone(),
            started: Instant::now(),
        };
        let mut report = match play.perform(&mut stage).await {
            Ok(report) => report,
            Err(failure) => {
                stage.abandon();
                let interrupted = stop.is_cancelled().then(|| asked.exit());
                return Err(stage.folder.left(failure, seed, interrupted));
            }
        };
        report.seed = seed;
        report.dir = stage.folder.behind(report.exit());
        Ok(report)
    })?;
    tell(arguments.format, &report, || report.text(colored_out))?;
    Ok(report.exit())
}

/// One performance.
struct Play<'a> {
    arguments: &'a DemoArguments,
    traffic: Duration,
    display: Display,
    stop: CancellationToken,
    started: Instant,
}

impl Play<'_> {
    async fn perform(mut self, stage: &mut Stage) -> Result<Report, Failure> {
        self.greet(stage);
        let kills = kills::plan(self.traffic, &mut stage.dice);
        stage.start_workers()?;
        let traffic = stage.start_traffic(self.arguments.rate)?;
        let mut report = Report::default();
        self.live(stage, &traffic, kills, &mut report).await?;
        report.changes_made = traffic
            .stop()
            .map_err(|error| Failure::new(Exit::Error, error))?;
        self.display.event(
            false,
            "the traffic has stopped; a marker goes through the road",
        );
        self.settle(stage, &mut report).await?;
        report.problems.extend(stage.workers()?.drain());
        self.display
            .event(false, "both workers have drained; comparing both databases");
        self.prove(stage, &mut report).await?;
        self.display.close();
        report.seconds = (self.started.elapsed().as_secs_f64() * 10.0).round() / 10.0;
        Ok(report)
    }

    fn greet(&self, stage: &Stage) {
        let seconds = self.arguments.seconds;
        self.display.say(&format!("Keylane demo: a shop under traffic for {seconds} s, carried from one SQLite file to another"));
        self.display
            .say("  origin.db ─ capture ▶ embedded log ▶ 4 appliers ─ replica.db");
        self.display.say(&format!(
            "  {} rows to copy first; seed {}; everything runs in\n  {}\n",
            stage.rows_before,
            stage.seed,
            stage.folder.path().display()
        ));
    }

    /// The traffic's time: looks, shows, kills.
    async fn live(
        &mut self,
        stage: &mut Stage,
        traffic: &Traffic,
        kills: Vec<Kill>,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let begun = Instant::now();
        let mut kills = kills.into_iter().peekable();
        while begun.elapsed() < self.traffic {
            self.pause().await?;
            self.look(stage, report)?;
            if traffic.is_over() {
                return Err(Failure::new(
                    Exit::Error,
                    "the shop's traffic ended by itself; see the error above it in the logs",
                ));
            }
            stage.note_copy(traffic.version());
            let view = stage.view();
            self.display.tick(
                &view,
                begun.elapsed(),
                &format!(
                    "{:.0} s of {} s",
                    begun.elapsed().as_secs_f64(),
                    self.traffic.as_secs()
                ),
            );
            if kills.peek().is_some_and(|kill| begun.elapsed() >= kill.at)
                && let Some(kill) = kills.next()
            {
                self.kill(stage, kill.role, report).await?;
            }
        }
        Ok(())
    }

    async fn kill(
        &mut self,
        stage: &mut Stage,
        role: Role,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let before = stage.workers()?.told_us(role);
        let deadline = Instant::now() + LAST_WORD_MAX;
        while Instant::now() < deadline && stage.workers()?.told_us(role) == before {
            tokio::time::sleep(Duration::from_millis(3)).await;
            self.look(stage, report)?;
        }
        let killed = stage.workers()?.kill(role);
        let killed = killed.map_err(|error| {
            Failure::new(
                Exit::Error,
                format!("the {role} process cannot be started again: {error}"),
            )
        })?;
        report.kills_sent += 1;
        self.display.event(
            true,
            &format!("kill -9 {role} (process {killed}), started again at once"),
        );
        Ok(())
    }

    fn look(&mut self, stage: &mut Stage, report: &mut Report) -> Result<(), Failure> {
        let workers = stage.workers()?;
        for back in workers.look() {
            report.kills += u64::from(back.kills);
            self.display.event(
                false,
                &format!(
                    "{} is back and went on {:.1} s after the kill",
                    back.role,
                    back.after.as_secs_f64()
                ),
            );
        }
        match workers.deserter() {
            Some(deserter) => Err(Failure::new(Exit::Error, deserter)),
            None => Ok(()),
        }
    }

    /// One pause between two looks, or the end if the user wants it.
    async fn pause(&mut self) -> Result<(), Failure> {
        tokio::select! {
            () = tokio::time::sleep(LOOK_INTERVAL) => Ok(()),
            () = self.stop.cancelled() => {
                self.display.close();
                Err(Failure::new(Exit::Error, "interrupted: nothing was proven"))
            }
        }
    }

    /// Waits until the replica has all that the origin had when the traffic stopped.
    async fn settle(&mut self, stage: &mut Stage, report: &mut Report) -> Result<(), Failure> {
        let begun = Instant::now();
        let patience = SETTLE_MAX + self.traffic;
        let mut place = None;
        let mut last = "no marker could be written".to_owned();
        while begun.elapsed() < patience {
            let step = match place {
                None if !stage.road.is_copied().await => Ok(false),
                None => stage
                    .road
                    .marker()
                    .mark()
                    .await
                    .map(|found| place = Some(found))
                    .map(|()| false),
                Some(place) => stage.road.has_applied(place).await,
            };
            match step {
                Ok(true) => return self.all_are_back(stage, report, begun + patience).await,
                Ok(false) => {}
                Err(failure) => last = failure.message,
            }
            self.pause().await?;
            self.look(stage, report)?;
            let view = stage.view();
            self.display.tick(&view, self.traffic, "settling");
            last = if place.is_some() {
                stage.what_holds()
            } else {
                last
            };
        }
        report.problems.push(format!(
            "the replica did not reach the marker within {} s: {last}",
            patience.as_secs()
        ));
        Ok(())
    }

    /// A worker killed last may have been seen by its work only: its word may be half a second old.
    async fn all_are_back(
        &mut self,
        stage: &mut Stage,
        report: &mut Report,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let deadline = deadline.min(Instant::now() + Duration::from_secs(2));
        while stage.workers()?.is_any_away() && Instant::now() < deadline {
            self.pause().await?;
            self.look(stage, report)?;
        }
        Ok(())
    }

    async fn prove(&mut self, stage: &mut Stage, report: &mut Report) -> Result<(), Failure> {
        let unreadable = |error: rusqlite::Error| {
            Failure::new(
                Exit::Error,
                format!("the databases cannot be compared: {error}"),
            )
        };
        let origin = shop::open(&stage.origin).map_err(unreadable)?;
        let replica = shop::open(&stage.replica).map_err(unreadable)?;
        if let Some(spoil) = self.arguments.spoil {
            replica
                .execute_batch(spoil.statements())
                .map_err(unreadable)?;
            self.display
                .event(true, "the replica was spoiled on purpose");
        }
        let order = proof::order(&origin, &replica, stage.copied_up_to).map_err(unreadable)?;
        let rows = proof::rows(&origin, &replica).map_err(unreadable)?;
        report.judge(&order, &rows);
        let account = ledger::account(&stage.road).await?;
        let totals = stage.workers()?.totals();
        (report.published, report.applied, report.doubled_in_log) =
            (account.published, account.applied, account.doubled);
        // A killed worker's very last counts are lost with it; what the log holds was captured.
        report.captured = totals
            .captured
            .max(account.published + totals.captured_again);
        report.replays_skipped = totals.captured_again + totals.applied_again;
        report.missing_rows = totals.missing_rows;
        Ok(())
    }
}
