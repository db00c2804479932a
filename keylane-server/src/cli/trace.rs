//! `keylane trace`: one row's whole way.

use clap::Args;
use serde_json::json;

use super::{Format, block_on};
use crate::config::Config;
use crate::exit_code::{Exit, Failure};
use crate::reconcile::{journal, of_pipelines, trace, trace_text};

/// The arguments of `keylane trace`.
#[derive(Debug, Args)]
pub struct TraceArguments {
    /// The table, with or without its schema.
    #[arg(value_name = "TABLE")]
    table: String,
    /// The row's key: 42, or for several columns region=eu,number=42 or '{"region":"eu","number":42}'.
    #[arg(value_name = "KEY")]
    key: String,
    /// The pipeline, where several carry such a table.
    #[arg(long, value_name = "NAME")]
    pipeline: Option<String>,
    /// How to print it.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Follows the row.
pub(super) fn run(config: &Config, arguments: &TraceArguments) -> Result<Exit, Failure> {
    let pipelines: Vec<String> = arguments.pipeline.iter().cloned().collect();
    block_on(async {
        let tables = std::slice::from_ref(&arguments.table);
        let targets = of_pipelines(config, &pipelines, tables).await?;
        let several = targets
            .iter()
            .map(|target| target.tables.len())
            .sum::<usize>()
            > 1;
        let Some(target) = targets.first().filter(|_| !several) else {
            let message = format!(
                "several tables are called {}: name its schema, and the pipeline with --pipeline",
                arguments.table
            );
            return Err(Failure::new(Exit::Usage, message));
        };
        let journal = journal(&config.state_dir).await?;
        let trace = trace(target, &arguments.key, &journal).await?;
        let told = match arguments.format {
            Format::Json => format!("{:#}\n", json!(trace)),
            Format::Text => trace_text(&trace),
        };
        super::print(told.as_bytes());
        Ok(Exit::Ok)
    })
}
