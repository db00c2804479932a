//! `keylane topics plan`: topics out of the origin's tables and their rates.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use keylane_core::topics::{Inputs, Said, differences, parse_inputs, plan};
use serde_json::{Value, json};

use crate::cli::{Format, block_on, print};
use crate::config::Secret;
use crate::exit_code::{Exit, Failure};
use crate::topics::{
    differences_text, differences_wire, mermaid, plan_text, plan_wire, read_rates, svg, yaml,
};
use crate::wire_up::{TopicsOrigin, topics_origin, topics_origins};

/// The arguments of `keylane topics plan`.
#[derive(Debug, Args)]
pub struct PlanArguments {
    /// The origin: postgres://USER@HOST:PORT/DATABASE or sqlite:PATH; the configuration's without it.
    #[arg(long, value_name = "URL")]
    origin: Option<Secret>,
    /// This pipeline of the configuration only.
    #[arg(long, value_name = "NAME", conflicts_with = "origin")]
    pipeline: Option<String>,
    /// Rates that were measured elsewhere: a YAML or JSON file, SCHEMA.TABLE: CHANGES_PER_S.
    #[arg(long, value_name = "FILE")]
    rates: Option<PathBuf>,
    /// How long the origin's counters are watched; 0s takes their mean since they were reset.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = humantime::parse_duration)]
    sample: Duration,
    /// What would change: inputs by their names, such as partitions=12,rate=5000,hot_key=0.05.
    #[arg(long, value_name = "NAME=VALUE,…", value_parser = checked)]
    what_if: Option<String>,
    /// How the plan is printed.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// The plan in another form: the topics block of a configuration, or a picture.
    #[arg(long, value_enum, conflicts_with = "format")]
    output: Option<Output>,
}

/// Other forms of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// The `topics` block of a pipeline, to be put into keylane.yaml as it is.
    Yaml,
    /// A picture.
    Svg,
    /// A Mermaid flow chart.
    Mermaid,
}

fn checked(text: &str) -> Result<String, String> {
    parse_inputs(text).map(|_| text.to_owned())
}

/// Reads, plans, prints.
pub(super) fn run(config: &Path, arguments: &PlanArguments) -> Result<Exit, Failure> {
    let rates = arguments.rates.as_deref().map(read_rates).transpose();
    let rates =
        rates.map_err(|fault| Failure::new(Exit::Usage, format!("KL-TOPICS-002: {fault}")))?;
    let mut origins = match &arguments.origin {
        Some(url) => vec![block_on(topics_origin(url, arguments.sample))?],
        None => {
            let config = crate::cli::load(config)?;
            let named = arguments.pipeline.as_deref();
            block_on(topics_origins(&config, named, arguments.sample))?
        }
    };
    for origin in &mut origins {
        for (name, rate) in rates.iter().flatten() {
            if !origin.take_rate(name, *rate) {
                eprintln!(
                    "note: --rates: the origin {} has no table {name}",
                    origin.name
                );
            }
        }
    }
    let mut wires = Vec::new();
    for origin in &origins {
        wires.extend(tell(origin, arguments)?);
    }
    if arguments.output.is_none() && arguments.format == Format::Json {
        // One pipeline is the object itself; of several, each stands under its name.
        let whole = match wires.len() {
            1 => wires.into_iter().next().map(|(_, wire)| wire),
            _ => Some(json!({ "pipelines": wires.into_iter().collect::<serde_json::Map<_, _>>() })),
        };
        print(format!("{:#}\n", whole.unwrap_or_default()).as_bytes());
    }
    Ok(Exit::Ok)
}

/// Prints what is for people, or returns what is for scripts.
fn tell(
    origin: &TopicsOrigin,
    arguments: &PlanArguments,
) -> Result<Option<(String, Value)>, Failure> {
    let prefix = &*origin.prefix;
    let before = plan(&origin.tables, &origin.inputs);
    let given = arguments.what_if.as_deref();
    let after = given
        .map(|given| with(&origin.inputs, given))
        .transpose()?
        .map(|inputs| plan(&origin.tables, &inputs));
    let shown = after.as_ref().unwrap_or(&before);
    let told = given.zip(after.as_ref());
    let told = told.map(|(given, after)| (given, differences(&before, after)));
    let text = match (arguments.output, arguments.format) {
        (Some(Output::Yaml), _) => yaml(shown, prefix, origin.configured.as_ref()),
        (Some(Output::Svg), _) => svg(shown, prefix),
        (Some(Output::Mermaid), _) => mermaid(shown, prefix),
        (None, Format::Json) => {
            let mut wire = plan_wire(shown, prefix);
            if let Some((given, differences)) = told
                && let Some(fields) = wire.as_object_mut()
            {
                let what_if = differences_wire(given, &differences);
                fields.insert("what_if".to_owned(), what_if);
            }
            return Ok(Some((origin.name.clone(), wire)));
        }
        (None, Format::Text) => {
            let differences = told.map(|(given, it)| differences_text(given, &it));
            plan_text(shown, prefix) + &differences.unwrap_or_default()
        }
    };
    print(text.as_bytes());
    Ok(None)
}

/// The inputs with what a caller gives.
fn with(inputs: &Inputs, given: &str) -> Result<Inputs, Failure> {
    let usage = |fault: String| Failure::new(Exit::Usage, format!("--what-if: {fault}"));
    let mut inputs = inputs.clone();
    for (input, value) in parse_inputs(given).map_err(usage)? {
        inputs.set(input, value, Said::Given).map_err(usage)?;
    }
    Ok(inputs)
}
