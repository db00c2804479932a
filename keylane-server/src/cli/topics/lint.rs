//! `keylane topics lint`: what is wrong, and what could not be judged.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use keylane::kafka::Look;
use keylane_core::topics::lint::{Facts, Lint, Report, lint};
use keylane_core::topics::{Inputs, Said, parse_inputs};

use crate::cli::{Color, block_on, load, print};
use crate::config::{Config, TablePattern};
use crate::exit_code::{Exit, Failure};
use crate::topics::{findings_text, findings_wire, read_client, sarif};
use crate::wire_up::{cluster, cluster_at, cluster_of, is_data, pipelines};

/// The arguments of `keylane topics lint`.
#[derive(Debug, Args)]
pub struct LintArguments {
    /// A cluster: HOST:PORT, several with commas between. With it the configuration is not read.
    #[arg(long, value_name = "HOST:PORT,…")]
    bootstrap: Option<String>,
    /// Topics to look at, as names or patterns such as orders.*; without, a pipeline's, or all but Kafka's own.
    #[arg(long, value_delimiter = ',', value_name = "TOPIC,…")]
    topics: Vec<String>,
    /// This pipeline of the configuration only.
    #[arg(long, value_name = "NAME", conflicts_with = "bootstrap")]
    pipeline: Option<String>,
    /// Read the configuration only; ask no database and no broker.
    #[arg(long, conflicts_with = "bootstrap")]
    offline: bool,
    /// A client's settings, as a .properties file; may be given more than once. client.library=java or librdkafka says whose defaults count.
    #[arg(long, value_name = "FILE")]
    client_properties: Vec<PathBuf>,
    /// What nobody can see from outside, by name, such as service_ms=10,instances=4,away_hours=48.
    #[arg(long, value_name = "NAME=VALUE,…", value_parser = checked)]
    given: Option<String>,
    /// How long the cluster is watched for its rates; 0s: not at all.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = humantime::parse_duration)]
    sample: Duration,
    /// Records read of each partition, to see keys.
    #[arg(long, value_name = "N", default_value_t = 100)]
    records: u32,
    /// Rules to leave out, such as L7,L18.
    #[arg(long, value_delimiter = ',', value_name = "RULE,…", value_parser = rule)]
    ignore: Vec<Lint>,
    /// One of librdkafka's settings for --bootstrap, as security.protocol=SSL; may be given more than once.
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = property, requires = "bootstrap")]
    properties: Vec<(String, String)>,
    /// How the findings are printed.
    #[arg(long, value_enum, default_value_t)]
    format: Printed,
}

/// How findings are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Printed {
    /// For people.
    #[default]
    Text,
    /// For scripts: one object on stdout.
    Json,
    /// SARIF 2.1.0, for code hosts and editors.
    Sarif,
}

fn checked(text: &str) -> Result<String, String> {
    parse_inputs(text).map(|_| text.to_owned())
}

fn rule(text: &str) -> Result<Lint, String> {
    let all = Lint::ALL.map(|lint| lint.about().id).join(", ");
    Lint::named(text.trim()).ok_or_else(|| format!("there is no rule {text}; there are {all}"))
}

fn property(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((pair.0.to_owned(), pair.1.to_owned()))
}

/// Looks, judges, prints; 3 if there is a finding.
pub(super) fn run(path: &Path, arguments: &LintArguments, color: Color) -> Result<Exit, Failure> {
    let usage = |message: String| Failure::new(Exit::Usage, message);
    let clients = arguments.client_properties.iter();
    let clients = clients
        .map(|path| read_client(path))
        .collect::<Result<_, _>>();
    let clients = clients.map_err(|fault| usage(format!("KL-TOPICS-002: {fault}")))?;
    let mut inputs = Inputs::default();
    for (input, value) in
        parse_inputs(arguments.given.as_deref().unwrap_or_default()).map_err(usage)?
    {
        inputs.set(input, value, Said::Given).map_err(usage)?;
    }
    let mut facts = Facts {
        clients,
        inputs,
        ..Facts::default()
    };
    // Clients alone can be judged too.
    let clients_only = !facts.clients.is_empty() && !path.exists();
    let config = match &arguments.bootstrap {
        Some(_) => None,
        None if clients_only => None,
        None => Some(load(path)?),
    };
    block_on(look(&mut facts, config.as_ref(), arguments))?;
    let report = without(lint(&facts), &arguments.ignore);
    let text = match arguments.format {
        Printed::Json => format!("{:#}\n", findings_wire(&report, &arguments.ignore)),
        Printed::Sarif => {
            let file = path.display().to_string();
            format!("{:#}\n", sarif(&report, config.as_ref().map(|_| &*file)))
        }
        Printed::Text => {
            let colored = color.is_on(std::io::stdout().is_terminal());
            findings_text(&report, &arguments.ignore, colored)
        }
    };
    print(text.as_bytes());
    Ok(match report.findings.is_empty() {
        true => Exit::Ok,
        false => Exit::Findings,
    })
}

async fn look(
    facts: &mut Facts,
    config: Option<&Config>,
    arguments: &LintArguments,
) -> Result<(), Failure> {
    if let Some(config) = config {
        let named = arguments.pipeline.as_deref();
        facts.pipelines = pipelines(config, named, arguments.offline).await;
        if facts.pipelines.is_empty() {
            let message = "the configuration has no such pipeline";
            return Err(Failure::new(Exit::Usage, message));
        }
    }
    let at = match (&arguments.bootstrap, config) {
        (Some(bootstrap), _) => Some(cluster_at(bootstrap, &arguments.properties)),
        (None, Some(config)) if !arguments.offline => cluster_of(config),
        (None, _) => None,
    };
    let Some(at) = at else {
        return Ok(());
    };
    let patterns = patterns(&arguments.topics)?;
    let own: Vec<String> = facts
        .pipelines
        .iter()
        .flat_map(|pipeline| pipeline.topics.keys().cloned())
        .collect();
    let wanted = |topic: &str| match (patterns.is_empty(), own.is_empty()) {
        (false, _) => patterns.iter().any(|pattern| pattern.matches(None, topic)),
        (true, false) => own.iter().any(|name| name == topic),
        (true, true) => is_data(topic),
    };
    let look = Look {
        sample: arguments.sample,
        records: arguments.records,
    };
    facts.cluster = Some(cluster(&at, &wanted, &look).await?);
    Ok(())
}

/// Topics' names have dots that are no schemas.
fn patterns(texts: &[String]) -> Result<Vec<TablePattern>, Failure> {
    let pattern = |text: &String| {
        TablePattern::of_one_part(text)
            .map_err(|fault| Failure::new(Exit::Usage, format!("--topics: '{text}' {fault}")))
    };
    texts.iter().map(pattern).collect()
}

fn without(mut report: Report, ignored: &[Lint]) -> Report {
    report.findings.retain(|it| !ignored.contains(&it.rule));
    report.unjudged.retain(|it| !ignored.contains(&it.rule));
    report.kept.retain(|rule| !ignored.contains(rule));
    report
}
