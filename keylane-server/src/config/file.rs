//! The file itself: what stands at its top level, and how it is loaded.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::code::Code;
use super::cross_check;
use super::error::ConfigError;
use super::http::{self, Http};
use super::interpolate::Lookup;
use super::issue::Issue;
use super::keys::{Absent, Key, Takes};
use super::log::{self, Log};
use super::notify::{self, Notify};
use super::pipeline::{self, Pipeline, PipelineName, PipelineRead};
use super::reader::{Block, Read, Reader};
use super::saga_service::{self, SagaService};
use super::source::{Place, Source, Span};
use super::tree::{self, Tree};

/// A larger file is refused.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Problems kept at most; a file with more is the wrong file.
pub(super) const PROBLEMS_MAX: usize = 200;

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "version",
        takes: Takes::Count { min: 1, max: 1 },
        absent: Absent::Required,
        means: "The version of this format.",
    },
    Key {
        name: "state_dir",
        takes: Takes::Text("a path"),
        absent: Absent::Default(".keylane"),
        means: "Where Keylane keeps status files, the embedded log and messages that are not told yet. Relative paths in this file start at the directory of the file.",
    },
    Key {
        name: "http",
        takes: Takes::Block(http::KEYS),
        absent: Absent::Means("its defaults"),
        means: "The address of health, metrics and JSON.",
    },
    Key {
        name: "log",
        takes: Takes::Block(log::KEYS),
        absent: Absent::Means("the embedded log with its defaults"),
        means: "Where published changes stand between origin and replica: `embedded` or `kafka`, one for all pipelines.",
    },
    Key {
        name: "notify",
        takes: Takes::Block(notify::KEYS),
        absent: Absent::Means("nobody is told"),
        means: "Who is told when the state of a table or a pipeline changes: Slack, webhooks.",
    },
    Key {
        name: "saga",
        takes: Takes::Block(saga_service::KEYS),
        absent: Absent::Means("no sagas are driven"),
        means: "Sagas that are driven: where they are kept, and how their participants are reached.",
    },
    Key {
        name: "pipelines",
        takes: Takes::Each("NAME", pipeline::KEYS),
        absent: Absent::Means("**required**, unless there is `saga`"),
        means: "The roads from origins to replicas, by name: a letter, then letters, digits, `_` and `-`, at most 40.",
    },
];

/// A checked configuration. Paths are resolved; secrets are in [`Secret`](super::Secret) or
/// [`PostgresUrl`](super::PostgresUrl), so that `Debug` shows none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where status files and the embedded log are kept.
    pub state_dir: PathBuf,
    /// The HTTP service.
    pub http: Http,
    /// The log of all pipelines.
    pub log: Log,
    /// Who is told of what.
    pub notify: Notify,
    /// How sagas are driven, if they are.
    pub saga: Option<SagaService>,
    /// The pipelines by name; at least one where no sagas are driven.
    pub pipelines: BTreeMap<PipelineName, Pipeline>,
}

impl Config {
    /// Reads and checks a file. Variables come from the environment of this process.
    ///
    /// # Errors
    /// Everything that is wrong with the file, ready to print.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        Config::load_with(path, &|name| std::env::var(name).ok())
    }

    /// Like [`load`](Config::load), with variables from `lookup`.
    ///
    /// # Errors
    /// Everything that is wrong with the file, ready to print.
    pub fn load_with(
        path: &Path,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Config, ConfigError> {
        let text = read_text(path, &EXPECTED).map_err(|issue| ConfigError {
            file: path.display().to_string(),
            problems: vec![issue.into_problem(None, None)],
        })?;
        Config::parse(&text, path, lookup)
    }

    /// Checks a text as if it stood in the file `path`, which is not read: errors carry its name, and relative paths
    /// start at its directory.
    ///
    /// # Errors
    /// Everything that is wrong with the text, ready to print.
    pub fn parse(
        text: &str,
        path: &Path,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Config, ConfigError> {
        let dir = path.parent().unwrap_or(Path::new("")).to_owned();
        parse(text, &path.display().to_string(), dir, lookup)
    }

    /// A commented configuration that names every key with its default.
    pub fn commented_default() -> &'static str {
        include_str!("default.yaml")
    }
}

fn parse(text: &str, file: &str, dir: PathBuf, lookup: Lookup<'_>) -> Result<Config, ConfigError> {
    let source = Source { text };
    let mut issues = Vec::new();
    let tree = match tree::parse(text, &mut issues) {
        Ok(tree) => tree,
        Err(issue) => {
            let problem = issue.into_problem(Some(&source), None);
            return Err(ConfigError {
                file: file.to_owned(),
                problems: vec![problem],
            });
        }
    };
    let reader = Reader {
        source,
        dir,
        lookup: Some(lookup),
        issues: RefCell::new(issues),
        shown: RefCell::new(Vec::new()),
    };
    let config = read(&reader, &tree);
    let mut issues = reader.issues.into_inner();
    match config {
        Ok(config) if issues.is_empty() => Ok(config),
        Ok(_) | Err(_) => {
            issues.sort_by_key(|issue| issue.span);
            issues.truncate(PROBLEMS_MAX);
            let shown = reader.shown.into_inner();
            let masked: Vec<Span> = tree
                .values
                .into_iter()
                .filter(|span| !shown.contains(span))
                .collect();
            let problem = |issue: Issue| issue.into_problem(Some(&reader.source), Some(&masked));
            Err(ConfigError {
                file: file.to_owned(),
                problems: issues.into_iter().map(problem).collect(),
            })
        }
    }
}

fn read(reader: &Reader<'_>, tree: &Tree) -> Read<Config> {
    let top = Span::on_line(Place { line: 1, column: 1 }, 1);
    let Some(root) = tree.root.as_ref().filter(|root| !root.is_null()) else {
        return Err(reader.report(Issue::whole_file(
            Code::FileRefused,
            "the file holds no settings",
            "write one with 'keylane init --from URL --to URL'",
        )));
    };
    let block = Block::open(reader, KEYS, String::new(), Some(root), top)?;
    let version = check_version(&block);
    let state_dir = block.file_path("state_dir").map(Option::unwrap_or_default);
    let http = block.block("http").and_then(|inner| http::read(&inner));
    let log = block.block("log");
    let log = log.and_then(|inner| log::read(&inner, state_dir.as_deref().ok()));
    let notify = block.block("notify").and_then(|inner| notify::read(&inner));
    let saga = saga_service::read(&block);
    let pipelines = read_pipelines(&block);
    let known = pipelines
        .as_ref()
        .map_or(&[][..], |(pipelines, _)| pipelines);
    cross_check::check(reader, log.as_ref().ok(), known);
    if let Ok(notify) = &notify {
        cross_check::check_channels(reader, notify, known);
    }
    if let Ok(http) = &http {
        cross_check::check_listens(reader, http, known);
    }
    let (pipelines, all_read) = pipelines?;
    all_read?;
    version?;
    let named = pipelines.into_iter().map(|read| (read.name, read.pipeline));
    Ok(Config {
        state_dir: state_dir?,
        http: http?,
        log: log?.log,
        notify: notify?,
        saga: saga?,
        pipelines: named.collect(),
    })
}

/// The file's version, before anything else is judged by this version's rules.
fn check_version(block: &Block<'_>) -> Read<()> {
    let text = block.text("version")?;
    if text.value == "1" {
        return Ok(());
    }
    Err(block.report(
        Code::Version,
        text.span,
        format!(
            "version: {} is not a version this program knows",
            text.shown
        ),
        "this program reads version 1; a newer file needs a newer program",
    ))
}

/// The pipelines that could be read, and whether those were all.
fn read_pipelines(block: &Block<'_>) -> Read<(Vec<PipelineRead>, Read<()>)> {
    let entries = block.each("pipelines")?;
    if entries.is_empty() && block.entry("saga").is_none() {
        return Err(block.missing("pipelines"));
    }
    let mut pipelines = Vec::new();
    let mut all_read = Ok(());
    for entry in entries {
        match pipeline::read(block.reader, entry) {
            Ok(read) => pipelines.push(read),
            Err(reported) => all_read = Err(reported),
        }
    }
    Ok((pipelines, all_read))
}

/// What a caller hopes to read, for the messages if it is something else.
pub(super) struct Expected {
    /// What to do if there is no file.
    pub missing: &'static str,
    /// What to do about one that is too large.
    pub too_large: &'static str,
    /// What the file should be.
    pub what: &'static str,
}

const EXPECTED: Expected = Expected {
    missing: "name it with --config FILE or KEYLANE_CONFIG, or write one with 'keylane init --from URL --to URL'",
    too_large: "check that this is the configuration; patterns such as \"billing.*\" keep long lists of tables short",
    what: "the configuration",
};

/// The text of a file that people write.
pub(super) fn read_text(path: &Path, expected: &Expected) -> Result<String, Issue> {
    let unreadable = |error: std::io::Error| {
        Issue::whole_file(
            Code::FileUnreadable,
            format!("cannot be read: {error}"),
            expected.missing,
        )
    };
    let refused =
        |message: &str, remedy: &str| Issue::whole_file(Code::FileRefused, message, remedy);
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > FILE_BYTES_MAX {
        return Err(refused("is larger than 1MiB", expected.too_large));
    }
    let text = String::from_utf8(bytes).map_err(|_| {
        refused(
            "is not UTF-8 text",
            &format!("check that this is {}; save it as UTF-8", expected.what),
        )
    })?;
    if text.contains('\0') {
        return Err(refused(
            "holds zero bytes, so it is not text",
            &format!("check that this is {}", expected.what),
        ));
    }
    Ok(text)
}
