//! `keylane init`: writes a commented configuration out of what it finds in the origin; `keylane run` takes it as it is.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::{Format, runtime};
use crate::config::{
    Config, InitAnswers, InitTable, PipelineName, PostgresUrl, Secret, TablePattern, Template,
};
use crate::exit_code::{Exit, Failure};
use crate::init::{FoundTable, tables_of};

/// More tables than this are written as "all".
const LISTED_MAX: usize = 300;

/// The arguments of `keylane init`.
#[derive(Debug, Args)]
pub struct InitArguments {
    /// The origin: postgres://USER@HOST:PORT/DATABASE or sqlite:PATH.
    #[arg(long, value_name = "URL")]
    from: Secret,
    /// The replica, likewise; may be left out with --events.
    #[arg(long, value_name = "URL", required_unless_present = "events")]
    to: Option<Secret>,
    /// Publish the rows of the origin's table keylane_outbox, which may name these topics (orders.events, or a beginning: orders.*).
    #[arg(long, value_delimiter = ',', value_name = "TOPIC,…")]
    events: Vec<String>,
    /// Kafka's brokers; without, changes go through the embedded log.
    #[arg(long, value_name = "HOST:PORT,…")]
    kafka: Option<String>,
    /// The tables to carry, as names or patterns such as billing.*; all without it.
    #[arg(long, value_delimiter = ',', value_name = "TABLE,…")]
    tables: Vec<String>,
    /// The pipeline's name; the origin's name without it.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Overwrite the configuration if it is there.
    #[arg(long)]
    force: bool,
    /// How to tell what was done.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Finds, writes, tells.
pub(super) fn run(path: &Path, arguments: &InitArguments) -> Result<Exit, Failure> {
    let usage = |message: String| Failure::new(Exit::Usage, message);
    if path.exists() && !arguments.force {
        let shown = path.display();
        return Err(usage(format!(
            "{shown} is there already; write another with --config FILE, or overwrite it with --force"
        )));
    }
    let name = pipeline_name(arguments)?;
    // What may refer to the environment is asked under its value and written as the reference.
    let asked = resolved(&arguments.from)?;
    let found = runtime()?.block_on(tables_of(asked.expose()));
    let found = found.map_err(|unfound| {
        let exit = match unfound.unreachable {
            true => Exit::Unreachable,
            false => Exit::Usage,
        };
        Failure::new(exit, unfound.message)
    })?;
    let found = match arguments.to.is_none() && arguments.tables.is_empty() {
        true => Vec::new(),
        false => found,
    };
    let chosen = chosen(found, &arguments.tables).map_err(usage)?;
    let (refused, carried): (Vec<FoundTable>, Vec<FoundTable>) = chosen
        .into_iter()
        .partition(|table| table.refused.is_some());
    let listed = carried.len() <= LISTED_MAX || !refused.is_empty();
    let entry = |table: &FoundTable| InitTable {
        name: table.name(),
        comment: table.comment(),
    };
    let answers = InitAnswers {
        pipeline: name,
        origin: seen_from(path, &arguments.from),
        replica: arguments.to.as_ref().map(|to| seen_from(path, to)),
        events: arguments.events.clone(),
        kafka_bootstrap: arguments.kafka.clone(),
        tables: match listed {
            true => carried.iter().map(entry).collect(),
            false => Vec::new(),
        },
    };
    let template = Config::template(&answers).map_err(|error| usage(error.to_string()))?;
    write(path, &template)?;
    tell(
        path,
        arguments.format,
        &answers,
        &template,
        &carried,
        &refused,
    );
    Ok(Exit::Ok)
}

/// As told, or the origin's own name in the letters that a pipeline's name may have.
fn pipeline_name(arguments: &InitArguments) -> Result<PipelineName, Failure> {
    if let Some(name) = &arguments.name {
        return PipelineName::new(name).ok_or_else(|| {
            Failure::new(
                Exit::Usage,
                format!("'{name}' is not a name for a pipeline: begin with a letter; use letters, digits, '_' and '-', at most 40"),
            )
        });
    }
    let url = arguments.from.expose();
    let last = url.split('?').next().unwrap_or_default();
    let last = last.rsplit(['/', ':']).next().unwrap_or_default();
    let stem = last.split('.').next().unwrap_or_default();
    let plain: String = stem
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '_' {
                c
            } else {
                '-'
            }
        })
        .take(40)
        .collect();
    // A reference such as ${ORIGIN_URL} has no name in it.
    let name = if stem.contains('$') {
        None
    } else {
        PipelineName::new(&plain)
    };
    Ok(name
        .or_else(|| PipelineName::new("main"))
        .expect("'main' is a legal name"))
}

/// `${NAME}` replaced by the environment.
fn resolved(url: &Secret) -> Result<Secret, Failure> {
    let mut text = String::new();
    let mut rest = url.expose();
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, behind)) = after.split_once('}') else {
            break;
        };
        let name = name.split(":-").next().unwrap_or(name);
        let value = std::env::var(name).map_err(|_| {
            let message = format!("the environment has no {name}, which the origin's URL names");
            Failure::new(Exit::Usage, message)
        })?;
        text.push_str(before);
        text.push_str(&value);
        rest = behind;
    }
    text.push_str(rest);
    Ok(Secret::new(text))
}

/// A relative path was meant from here; the configuration reads it from its own folder.
fn seen_from(config: &Path, url: &Secret) -> Secret {
    let text = url.expose();
    let folder = config.parent().filter(|dir| !dir.as_os_str().is_empty());
    let here = std::env::current_dir().ok();
    let same = match (&here, folder) {
        (_, None) => true,
        (Some(here), Some(folder)) => {
            std::path::absolute(folder).is_ok_and(|folder| folder == *here)
        }
        (None, Some(_)) => false,
    };
    if let Some(Ok(mut url)) = (!same && !text.contains("${")).then(|| PostgresUrl::parse(text)) {
        let whole = |path: &str| std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path));
        url.resolve_files(whole);
        return Secret::new(url.expose());
    }
    let path = text
        .strip_prefix("sqlite:")
        .map(|path| path.strip_prefix("//").unwrap_or(path));
    match path {
        Some(path) if !same && !path.is_empty() && Path::new(path).is_relative() => {
            let whole = std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path));
            Secret::new(format!("sqlite:{}", whole.display()))
        }
        _ => url.clone(),
    }
}

/// The tables that the patterns mean; each pattern must mean one.
fn chosen(found: Vec<FoundTable>, patterns: &[String]) -> Result<Vec<FoundTable>, String> {
    if patterns.is_empty() {
        return Ok(found);
    }
    let mut wanted = Vec::new();
    for text in patterns {
        let pattern =
            TablePattern::parse(text).map_err(|fault| format!("--tables: '{text}' {fault}"))?;
        let means = |table: &FoundTable| pattern.matches(table.schema.as_deref(), &table.table);
        if !found.iter().any(means) {
            let known: Vec<String> = found.iter().take(20).map(FoundTable::name).collect();
            let near = known
                .iter()
                .max_by(|one, other| {
                    let likeness = |name: &str| strsim::jaro_winkler(name, text);
                    likeness(one).total_cmp(&likeness(other))
                })
                .map_or_else(
                    || "the origin has no tables".to_owned(),
                    |name| format!("did you mean '{name}'?"),
                );
            return Err(format!(
                "--tables: the origin has no table '{text}'; {near}"
            ));
        }
        wanted.push(pattern);
    }
    let is_wanted = |table: &FoundTable| {
        wanted
            .iter()
            .any(|pattern| pattern.matches(table.schema.as_deref(), &table.table))
    };
    Ok(found.into_iter().filter(is_wanted).collect())
}

fn write(path: &Path, template: &Template) -> Result<(), Failure> {
    let folder = path
        .parent()
        .filter(|dir| !dir.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let failed = |what: &Path, error: std::io::Error| {
        Failure::new(
            Exit::Error,
            format!("{} cannot be written: {error}", what.display()),
        )
    };
    std::fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    let secrets = template.write_secrets(folder);
    secrets.map_err(|error| failed(&folder.join(".keylane"), error))?;
    std::fs::write(path, &template.text).map_err(|error| failed(path, error))
}

fn tell(
    path: &Path,
    format: Format,
    answers: &InitAnswers,
    template: &Template,
    carried: &[FoundTable],
    refused: &[FoundTable],
) {
    let secrets: Vec<String> = template
        .secrets
        .iter()
        .map(|secret| secret.path.display().to_string())
        .collect();
    if format == Format::Json {
        let table = |table: &FoundTable| json!({"name": table.name(), "key": table.key, "rows_estimated": table.rows_estimated, "left_out": table.refused});
        let tables: Vec<_> = carried.iter().chain(refused).map(table).collect();
        let done = json!({
            "config": path.display().to_string(), "pipeline": answers.pipeline.as_str(), "tables": tables, "secrets": secrets,
        });
        super::print(format!("{done:#}\n").as_bytes());
        return;
    }
    let carries = answers.replica.is_some() || !answers.tables.is_empty();
    let what = match carries {
        true => format!("{} tables", carried.len()),
        false => "events only".to_owned(),
    };
    eprintln!(
        "wrote {}: pipeline {}, {what}",
        path.display(),
        answers.pipeline
    );
    if !answers.events.is_empty() {
        eprintln!(
            "note: events are rows of the table keylane_outbox: docs/guides/outbox.md shows how to make it"
        );
    }
    if carries && carried.is_empty() {
        eprintln!("note: the origin has no table that can be captured yet; `run` needs one");
    }
    for table in carried.iter().filter(|table| table.key.is_empty()) {
        eprintln!(
            "note: {} has no primary key: all its changes keep one order",
            table.name()
        );
    }
    for table in refused {
        let why = table.refused.as_deref().unwrap_or_default();
        eprintln!(
            "left out: {}: {why} (then add it under `tables`)",
            table.name()
        );
    }
    for secret in secrets {
        eprintln!(
            "a password went into {secret}, beside the configuration, readable by you only; the configuration holds none"
        );
    }
    let option = match path == Path::new("keylane.yaml") {
        true => String::new(),
        false => format!(" --config {}", path.display()),
    };
    eprintln!("next: keylane check{option}   then: keylane run{option}");
}
