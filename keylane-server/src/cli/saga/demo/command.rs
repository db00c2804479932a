//! The command: stage, trips, kills, the end of every saga, proof, report.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use keylane_core::saga::State;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio_util::sync::CancellationToken;

use super::processes::{Kill, plan};
use super::proof::{books, judge};
use super::report::{Report, Rollback};
use super::stage::Stage;
use super::travel::Service;
use crate::cli::demo::{marked, tell, told};
use crate::cli::{Format, runtime};
use crate::exit_code::{Exit, Failure};
use crate::shutdown;

/// How often the demo looks at its processes.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// How often it is told where the sagas stand.
const TELL_INTERVAL: Duration = Duration::from_secs(5);
/// Sagas may take so long to end when no more are begun, and as long again as they were begun.
const END_MAX: Duration = Duration::from_secs(60);
/// Sagas that went back which are looked at for one to be shown, at most.
const ROLLBACKS: usize = 50;

/// The arguments of `keylane saga demo`.
#[derive(Debug, Args)]
pub struct DemoArguments {
    /// How long trips are begun.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(3..=86_400))]
    seconds: u32,
    /// Repeats the trips and the moments of the kills of an earlier run.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Leave the services' files, keylane.yaml and the logs in this folder (empty, new, or a former demo's); else a temporary one, kept only if something fails.
    #[arg(long, value_name = "PATH")]
    dir: Option<PathBuf>,
    /// Trips that are begun in a second, about.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rate: u32,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Take a seat out of a service's books before the proof, to see that the proof can fail.
    #[arg(long)]
    spoil: bool,
    /// What the demo's own processes are started with.
    #[arg(long, hide = true, value_enum, requires_all = ["port", "dir"])]
    serve: Option<Service>,
    /// Where it listens.
    #[arg(long, hide = true)]
    port: Option<u16>,
}

/// Runs the demo and prints what it proved.
///
/// # Errors
/// What kept it from proving anything: a folder that cannot be used, a process that ended by itself, an interruption.
pub fn run(arguments: &DemoArguments, quiet: bool, colors: (bool, bool)) -> Result<Exit, Failure> {
    if let (Some(service), Some(port), Some(dir)) =
        (arguments.serve, arguments.port, &arguments.dir)
    {
        return super::service::serve(service, dir, port);
    }
    let (colored_out, colored_err) = colors;
    // On this thread: the kernel ties the processes' lives to the thread that starts them.
    let report = runtime()?.block_on(async {
        let stop = CancellationToken::new();
        let asked = shutdown::on_signal(stop.clone())?;
        let seed = arguments
            .seed
            .unwrap_or_else(|| rand::random_range(1..1_000_000));
        let trips = u64::from(arguments.seconds) * u64::from(arguments.rate);
        let mut stage = Stage::set(arguments.dir.as_deref(), trips, seed).await?;
        let mut play = Play {
            arguments,
            quiet,
            colored: colored_err,
            stop: stop.clone(),
            started: Instant::now(),
            told: Instant::now(),
            report: Report {
                seed,
                ..Report::default()
            },
        };
        if let Err(failure) = play.perform(&mut stage).await {
            let interrupted = stop.is_cancelled().then(|| asked.exit());
            return Err(stage.folder.left(failure, seed, interrupted));
        }
        let mut report = play.report;
        report.dir = stage.folder.behind(report.exit());
        Ok(report)
    })?;
    tell(arguments.format, &report, || report.text(colored_out))?;
    Ok(report.exit())
}

/// One performance.
struct Play<'a> {
    arguments: &'a DemoArguments,
    quiet: bool,
    colored: bool,
    stop: CancellationToken,
    started: Instant,
    /// When it was told last where the sagas stand.
    told: Instant,
    report: Report,
}

impl Play<'_> {
    async fn perform(&mut self, stage: &mut Stage) -> Result<(), Failure> {
        let traffic = Duration::from_secs(u64::from(self.arguments.seconds));
        self.greet(stage);
        let kills = plan(
            traffic,
            &mut StdRng::seed_from_u64(self.report.seed ^ 0x6b69_6c6c),
        );
        self.live(stage, traffic, kills).await?;
        self.event(
            false,
            "no more trips are begun; all that run come to an end",
        );
        let states = self.end(stage, traffic).await?;
        self.report.problems.extend(stage.processes.drain());
        self.event(
            false,
            "every process has ended; adding up the services' books",
        );
        self.prove(stage, &states)?;
        self.show_rollbacks(stage, &states).await?;
        self.report.seconds = (self.started.elapsed().as_secs_f64() * 10.0).round() / 10.0;
        Ok(())
    }

    fn say(&self, line: &str) {
        if !self.quiet {
            told(line);
        }
    }

    fn event(&self, bad: bool, text: &str) {
        self.say(&marked(self.started, bad, self.colored, text));
    }

    fn greet(&self, stage: &Stage) {
        let (seconds, rate) = (self.arguments.seconds, self.arguments.rate);
        self.say(&format!(
            "Keylane's sagas: {rate} trips a second for {seconds} s, each a seat, a room and a payment in three services"
        ));
        self.say("  half of them  keylane ─ HTTP ▶ flight, hotel ▶ payment        driven by an orchestrator");
        self.say("  the others    shop ▶ flight ▶ hotel ▶ payment                 by events: outboxes and the embedded log");
        let (seed, place) = (self.report.seed, stage.folder.path().display());
        self.say(&format!("  seed {seed}; everything runs in\n  {place}\n"));
    }

    /// The time in which trips are begun, and processes killed.
    async fn live(
        &mut self,
        stage: &mut Stage,
        traffic: Duration,
        kills: Vec<Kill>,
    ) -> Result<(), Failure> {
        let begun = Instant::now();
        let mut kills = kills.into_iter().peekable();
        while begun.elapsed() < traffic {
            let due = begun.elapsed().as_secs_f64() * f64::from(self.arguments.rate);
            while (stage.trips() as f64) < due {
                stage.begin().await?;
            }
            if let Some(kill) = kills.next_if(|kill| begun.elapsed() >= kill.at) {
                self.kill(stage, kill)?;
            }
            self.pause(stage).await?;
            if self.told.elapsed() >= TELL_INTERVAL {
                let states = stage.states().await?;
                self.tell(&states);
            }
        }
        for kill in kills {
            self.kill(stage, kill)?;
        }
        Ok(())
    }

    fn kill(&mut self, stage: &mut Stage, kill: Kill) -> Result<(), Failure> {
        let name = kill.role.name();
        let killed = stage.processes.kill(kill.role).map_err(|error| {
            let message = format!("the {name} process cannot be started again: {error}");
            Failure::new(Exit::Error, message)
        })?;
        self.report.kills += 1;
        let text = format!("kill -9 {name} (process {killed}), started again at once");
        self.event(true, &text);
        Ok(())
    }

    /// One pause between two looks, or the end if the user wants it or a process is gone.
    async fn pause(&mut self, stage: &mut Stage) -> Result<(), Failure> {
        tokio::select! {
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
            () = self.stop.cancelled() => {
                return Err(Failure::new(Exit::Error, "interrupted: nothing was proven"));
            }
        }
        match stage.processes.deserter() {
            Some(deserter) => Err(Failure::new(Exit::Error, deserter)),
            None => Ok(()),
        }
    }

    fn tell(&mut self, states: &[(String, State)]) {
        self.told = Instant::now();
        let count = |state: State| states.iter().filter(|(_, it)| *it == state).count();
        let (completed, compensated) = (count(State::Completed), count(State::Compensated));
        let under_way = states.len() - completed - compensated;
        self.event(
            false,
            &format!("{completed} completed, {compensated} compensated, {under_way} under way"),
        );
    }

    /// Waits until every saga has ended, and how.
    async fn end(
        &mut self,
        stage: &mut Stage,
        traffic: Duration,
    ) -> Result<BTreeMap<String, State>, Failure> {
        let deadline = Instant::now() + END_MAX + traffic;
        loop {
            let states = stage.states().await?;
            let are_known = states.len() as u64 == stage.trips();
            let have_ended = are_known && states.iter().all(|(_, state)| state.is_end());
            if have_ended || Instant::now() >= deadline {
                self.tell(&states);
                if !are_known {
                    let words = format!("of {} sagas {} are known", stage.trips(), states.len());
                    self.report.problems.push(words);
                }
                return Ok(states.into_iter().collect());
            }
            if self.told.elapsed() >= TELL_INTERVAL {
                self.tell(&states);
            }
            self.pause(stage).await?;
        }
    }

    fn prove(&mut self, stage: &Stage, states: &BTreeMap<String, State>) -> Result<(), Failure> {
        let unreadable = |error: rusqlite::Error| {
            let message = format!("the services' books cannot be read: {error}");
            Failure::new(Exit::Error, message)
        };
        if self.arguments.spoil {
            let file = rusqlite::Connection::open(Service::Flight.file(stage.folder.path()));
            file.and_then(|file| {
                let sql = "UPDATE stock SET left_over = left_over - 1 WHERE id = (SELECT max(id) FROM stock WHERE left_over > 0)";
                file.execute(sql, [])
            })
            .map_err(unreadable)?;
            self.event(true, "a seat was taken out of the books on purpose");
        }
        let mut all = Vec::new();
        for (service, begun) in &stage.begun {
            let books = books(*service, stage.folder.path(), *begun).map_err(unreadable)?;
            all.push((*service, books));
        }
        self.report.driven = stage.driven.len() as u64;
        self.report.judge(states, &judge(states, &all), &all);
        Ok(())
    }

    /// One of each style that went back, after something of it had been done.
    async fn show_rollbacks(
        &mut self,
        stage: &Stage,
        states: &BTreeMap<String, State>,
    ) -> Result<(), Failure> {
        self.report.rollbacks = Rollback {
            driven: longest_rollback(stage, &stage.driven, states).await?,
            heard_of: longest_rollback(stage, &stage.heard_of, states).await?,
        };
        Ok(())
    }
}

/// Of some of these sagas that went back, the one of which most is to be told.
async fn longest_rollback(
    stage: &Stage,
    sagas: &[String],
    states: &BTreeMap<String, State>,
) -> Result<Option<String>, Failure> {
    let went_back = |saga: &&String| states.get(*saga) == Some(&State::Compensated);
    let mut longest: Option<String> = None;
    for saga in sagas.iter().filter(went_back).take(ROLLBACKS) {
        let text = stage.text(saga).await?;
        let lines = |text: &str| text.lines().count();
        if longest.as_ref().is_none_or(|it| lines(it) < lines(&text)) {
            longest = Some(text);
        }
    }
    Ok(longest)
}
