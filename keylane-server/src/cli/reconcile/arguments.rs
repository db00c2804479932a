//! Its arguments.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use keylane_core::reconcile::{Brakes, Method};

use super::super::Format;

/// The arguments of `keylane reconcile`.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_precedence_over_arg = true
)]
pub struct ReconcileArguments {
    #[command(subcommand)]
    pub(super) verb: Option<Verb>,
    #[command(flatten)]
    pub(super) compare: CompareArguments,
    /// How to print it.
    #[arg(long, global = true, value_enum, default_value_t)]
    pub(super) format: Format,
    /// Where runs are kept, if not in the configuration's state folder.
    #[arg(long, global = true, value_name = "FOLDER")]
    pub(super) state_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// What a run found; without a name, the latest run.
    Show {
        /// Its name, as `reconcile` told it.
        run: Option<String>,
        /// Each row that differs, side by side, column by column.
        #[arg(long)]
        rows: bool,
        /// Of this table only.
        #[arg(long, value_name = "TABLE")]
        table: Option<String>,
        /// So many rows of each table at most.
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: usize,
    },
    /// Put the rows that a run repaired back as they were, where nothing has changed them since.
    Undo {
        /// The run.
        run: String,
        /// The replica of a run of two databases without a pipeline.
        #[arg(long, value_name = "URL")]
        replica: Option<String>,
        /// The origin of such a run.
        #[arg(long, value_name = "URL")]
        origin: Option<String>,
    },
    /// The last runs, the latest first.
    List,
}

#[derive(Debug, Args)]
pub(super) struct CompareArguments {
    /// These pipelines only.
    #[arg(value_name = "PIPELINE")]
    pub(super) pipelines: Vec<String>,
    /// These tables only, with or without their schema.
    #[arg(long = "table", value_name = "TABLE")]
    pub(super) tables: Vec<String>,
    /// Only rows for which this condition is true, in SQL that both databases read.
    #[arg(long = "where", value_name = "SQL")]
    pub(super) filter: Option<String>,
    /// Any database instead of a pipeline's origin: postgres://user@host/db or sqlite:FILE.
    #[arg(
        long,
        value_name = "URL",
        requires = "replica",
        env = "KEYLANE_ORIGIN_URL",
        hide_env_values = true
    )]
    pub(super) origin: Option<String>,
    /// Any database instead of a pipeline's replica.
    #[arg(
        long,
        value_name = "URL",
        requires = "origin",
        env = "KEYLANE_REPLICA_URL",
        hide_env_values = true
    )]
    pub(super) replica: Option<String>,
    /// Count the rows of both sides, compare nothing.
    #[arg(long)]
    pub(super) count_only: bool,
    /// Write what is proved to differ as the origin has it, and see it again.
    #[arg(long, conflicts_with_all = ["count_only"])]
    pub(super) repair: bool,
    /// Say what would be repaired, write nothing.
    #[arg(long, requires = "repair")]
    pub(super) dry_run: bool,
    /// Rows of a table that are repaired at most; if more differ, none is.
    #[arg(long, default_value_t = Brakes::default().rows_max, value_name = "N")]
    pub(super) max_rows: u64,
    /// The share of a table's rows that is repaired at most, from 0 to 1; if more differ, none is.
    #[arg(long, default_value_t = Brakes::default().share_max, value_parser = share, value_name = "SHARE")]
    pub(super) max_share: f64,
    /// The part of the time in which the databases are read, from 0.01 to 1; the rest they are left alone.
    #[arg(long, default_value_t = 1.0, value_parser = part, value_name = "PART")]
    pub(super) load: f64,
    /// How rows are compared: read from both sides, or added up in the databases and read only where that differs.
    #[arg(long, value_enum, default_value_t)]
    pub(super) method: MethodArgument,
    /// How long a mark is waited for on its way through the pipeline before differences are left unproved.
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub(super) mark_within: Duration,
    /// Without a pipeline: the time between the two looks at a row that differs.
    #[arg(long, default_value = "1s", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub(super) look_pause: Duration,
    /// Tell no channel. Runs with --where, --count-only or --dry-run tell none either.
    #[arg(long)]
    pub(super) no_notify: bool,
    /// Go on with a run that was stopped or died.
    #[arg(long, value_name = "RUN")]
    pub(super) resume: Option<String>,
}

impl CompareArguments {
    /// Whether the run's verdicts go to the channels of the configuration: those of whole tables do.
    pub(super) fn is_told(&self) -> bool {
        self.filter.is_none() && !self.count_only && !self.dry_run && !self.no_notify
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok();
    let share = share.filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "a number from 0 to 1".to_owned())
}

fn part(text: &str) -> Result<f64, String> {
    let part: f64 = text
        .parse()
        .map_err(|_| "a number from 0.01 to 1".to_owned())?;
    match (0.01..=1.0).contains(&part) {
        true => Ok(part),
        false => Err("a number from 0.01 to 1".to_owned()),
    }
}

/// How rows are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum MethodArgument {
    /// What is faster, as it is measured along the way.
    #[default]
    Auto,
    /// They are read from both sides.
    Rows,
    /// Two PostgreSQL databases add them up, and they are read where that differs.
    Checksums,
}

impl From<MethodArgument> for Method {
    fn from(method: MethodArgument) -> Method {
        match method {
            MethodArgument::Auto => Method::Auto,
            MethodArgument::Rows => Method::Rows,
            MethodArgument::Checksums => Method::Checksums,
        }
    }
}
