//! What `keylane init` writes: a commented `keylane.yaml` that loads as it is.
//!
//! A password given in a URL is not written into the file: it goes into a file of its own under the state directory,
//! readable by its owner only, and the configuration refers to it. So the configuration may be committed and `run` works at
//! once. A URL that holds a reference (`${NAME}`) keeps it.

use std::fmt::{self, Write as _};
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use keylane_core::outbox::TopicPattern;

use super::code::Code;
use super::file::Config;
use super::pipeline::PipelineName;
use super::secret::Secret;
use super::tables;
use super::url::PostgresUrl;

const STATE_DIR: &str = ".keylane";

/// What `init` was told and what it found.
#[derive(Clone, Debug)]
pub struct InitAnswers {
    /// The pipeline to write.
    pub pipeline: PipelineName,
    /// `postgres://…` or `sqlite:PATH`; a relative path starts at the directory of the configuration.
    pub origin: Secret,
    /// `postgres://…` or `sqlite:PATH`; None where there are only events.
    pub replica: Option<Secret>,
    /// The topics that rows of the outbox may name; empty without one.
    pub events: Vec<String>,
    /// `HOST:PORT,…`; None for the embedded log.
    pub kafka_bootstrap: Option<String>,
    /// Tables to carry, in the order to write them; empty for all.
    pub tables: Vec<InitTable>,
}

/// A table that `init` found.
#[derive(Clone, Debug)]
pub struct InitTable {
    /// `schema.table`, or a pattern.
    pub name: String,
    /// One line for a person, such as its key and about how many rows it has; may be empty.
    pub comment: String,
}

/// The configuration to write, and the secrets that must stand beside it.
#[derive(Clone, Debug)]
pub struct Template {
    /// The text of `keylane.yaml`; holds no password.
    pub text: String,
    /// Files that the text refers to; write them with [`Template::write_secrets`] and tell the user.
    pub secrets: Vec<SecretFile>,
}

/// A secret that was taken out of a URL.
#[derive(Clone, Debug)]
pub struct SecretFile {
    /// Relative to the directory of the configuration.
    pub path: PathBuf,
    /// What the file holds.
    pub secret: Secret,
}

/// Why an answer cannot be written into a configuration. Shows no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    code: Code,
    message: String,
}

impl TemplateError {
    /// The code of the mistake.
    pub fn code(&self) -> Code {
        self.code
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error[{}]: {}", self.code, self.message)
    }
}

impl std::error::Error for TemplateError {}

impl Template {
    /// Writes the secret files under `dir`, the directory of the configuration, readable by their owner only, and keeps
    /// git from taking them along.
    ///
    /// # Errors
    /// What the file system says; some of the files may have been written by then.
    pub fn write_secrets(&self, dir: &Path) -> io::Result<()> {
        for SecretFile { path, secret } in &self.secrets {
            let path = dir.join(path);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
                fs::write(parent.join(".gitignore"), "*\n")?;
            }
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&path)?;
            // An older file keeps its mode when it is opened.
            file.set_permissions(fs::Permissions::from_mode(0o600))?;
            writeln!(file, "{}", secret.expose())?;
            file.sync_all()?;
        }
        Ok(())
    }
}

impl Config {
    /// The configuration for these answers. It loads as it is, once its secrets are written.
    ///
    /// # Errors
    /// An answer that cannot stand in a configuration: a URL of an unknown kind, a table's name with a quote.
    pub fn template(answers: &InitAnswers) -> Result<Template, TemplateError> {
        let mut text = String::new();
        let mut secrets = Vec::new();
        head(&mut text, answers);
        let pipeline = answers.pipeline.as_str();
        // Writing to a `String` cannot fail, so the results are dropped here and below.
        let _ = writeln!(text, "pipelines:\n  {pipeline}:");
        endpoint(&mut text, &mut secrets, pipeline, "origin", &answers.origin)?;
        if let Some(replica) = &answers.replica {
            endpoint(&mut text, &mut secrets, pipeline, "replica", replica)?;
        }
        event_topics(&mut text, &answers.events)?;
        if answers.replica.is_some() || !answers.tables.is_empty() {
            table_list(&mut text, &answers.tables)?;
        }
        tail(&mut text, answers);
        Ok(Template { text, secrets })
    }
}

fn head(text: &mut String, answers: &InitAnswers) {
    text.push_str(
        "# Keylane's configuration, written by 'keylane init'. Commented lines show further keys at their defaults.\n\
         # All keys: docs/reference/configuration.md. After a change: keylane check\n\n\
         version: 1\n\
         state_dir: .keylane          # status files and the embedded log, beside this file\n\n\
         http:\n  listen: 127.0.0.1:7070     # or: off\n\n",
    );
    match &answers.kafka_bootstrap {
        Some(bootstrap) => {
            let _ = writeln!(text, "log:\n  kafka:\n    bootstrap: {}", scalar(bootstrap));
            text.push_str(
                "    # properties:             # further librdkafka settings\n    \
                 #   security.protocol: SASL_SSL      # needs a build with kafka-ssl: docs/guides/security.md\n    \
                 #   sasl.mechanism: SCRAM-SHA-512\n    \
                 #   sasl.username: keylane\n    \
                 #   sasl.password: ${KAFKA_PASSWORD}\n\n",
            );
        }
        None => text.push_str(
            "log:\n  embedded:\n    path: .keylane/log.db\n    \
             # retention: 7d           # for applied changes; unapplied ones are always kept\n    \
             # bytes_max: 10GiB\n\n",
        ),
    }
}

fn tail(text: &mut String, answers: &InitAnswers) {
    let replication = match answers.kafka_bootstrap {
        Some(_) => "      replication_factor: 1   # 3 where brokers may fail\n",
        None => "",
    };
    let _ = write!(
        text,
        "\n    topics:\n      prefix: {prefix}\n      partitions: 8           # changing it later moves keys, which is refused\n\
         {replication}",
        prefix = answers.pipeline,
    );
    if answers.replica.is_none() {
        return;
    }
    text.push_str(
        "      # order_keys:           # what must keep its order together, if not the primary key\n      \
         #   public.order_items: [order_id]\n\n    \
         # capture:\n    #   snapshot: initial       # never: only changes from now on\n\n    \
         apply:\n      threads: 4\n      \
         # create_tables: true     # tables that the replica lacks\n      \
         # on_error: { retry: 8, then: park }   # then: stop\n",
    );
}

fn event_topics(text: &mut String, topics: &[String]) -> Result<(), TemplateError> {
    if topics.is_empty() {
        return Ok(());
    }
    text.push_str("    outbox:                  # table keylane_outbox: docs/guides/outbox.md\n      topics:\n");
    for topic in topics {
        TopicPattern::parse(topic).map_err(|fault| TemplateError {
            code: Code::BadName,
            message: format!("topic '{}' {fault}", super::tree::printable(topic)),
        })?;
        let _ = writeln!(text, "        - {}", scalar(topic));
    }
    Ok(())
}

fn endpoint(
    text: &mut String,
    secrets: &mut Vec<SecretFile>,
    pipeline: &str,
    role: &str,
    url: &Secret,
) -> Result<(), TemplateError> {
    let url = url.expose();
    let _ = writeln!(text, "    {role}:");
    if let Some(path) = url.strip_prefix("sqlite:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() {
            return Err(url_error(role, "names no file; write sqlite:PATH"));
        }
        let _ = writeln!(text, "      sqlite:\n        path: {}", scalar(path));
        return Ok(());
    }
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(url_error(role, "is neither postgres://… nor sqlite:PATH"));
    }
    let _ = writeln!(text, "      postgres:");
    let (shown, password) = split_password(url).map_err(|fault| url_error(role, fault))?;
    if !shown.contains("${") {
        PostgresUrl::parse(&shown).map_err(|fault| url_error(role, &fault))?;
    }
    let _ = writeln!(text, "        url: {}", quoted_if_needed(&shown));
    if let Some(secret) = password {
        let path = format!("{STATE_DIR}/{pipeline}-{role}.password");
        let _ = writeln!(
            text,
            "        password: file:{path}   # or ${{NAME}} from the environment"
        );
        secrets.push(SecretFile {
            path: PathBuf::from(path),
            secret,
        });
    }
    if role == "origin" {
        text.push_str(
            "        # heartbeat: 10s        # keeps idle tables from holding back WAL\n",
        );
    }
    Ok(())
}

fn url_error(role: &str, fault: &str) -> TemplateError {
    let message = format!("the {role}'s URL {fault}");
    TemplateError {
        code: Code::Url,
        message,
    }
}

/// The URL without its password, and the password as it is. A reference stays where it is.
fn split_password(url: &str) -> Result<(String, Option<Secret>), &'static str> {
    let unchanged = Ok((url.to_owned(), None));
    let Some((scheme, rest)) = url.split_once("://") else {
        return unchanged;
    };
    let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
    // A password with a raw '/' would be cut short here; such a URL has no '@' in what is left.
    let (authority, tail) = rest.split_at(authority_end);
    let Some((user_info, host)) = authority.rsplit_once('@') else {
        if tail.contains('@') && authority.contains(':') {
            return Err("has a '/' or '?' in its password; write them as %2F and %3F");
        }
        return unchanged;
    };
    match user_info.split_once(':') {
        Some((_, password)) if password.is_empty() || password.starts_with("${") => unchanged,
        Some((user, password)) => {
            let password = percent_decoded(password).ok_or("has a password that is not UTF-8")?;
            Ok((
                format!("{scheme}://{user}@{host}{tail}"),
                Some(Secret::new(password)),
            ))
        }
        None => unchanged,
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        decoded.extend_from_slice(before.as_bytes());
        match after
            .get(..2)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok())
        {
            Some(byte) => {
                decoded.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                decoded.push(b'%');
                rest = after;
            }
        }
    }
    decoded.extend_from_slice(rest.as_bytes());
    String::from_utf8(decoded).ok()
}

fn table_list(text: &mut String, found: &[InitTable]) -> Result<(), TemplateError> {
    if found.is_empty() {
        text.push_str(
            "    # tables: [public.orders, \"billing.*\"]   # default: all tables of the origin\n",
        );
        return Ok(());
    }
    text.push_str("    tables:\n");
    for InitTable { name, comment } in found {
        tables::check_pattern(name).map_err(|fault| TemplateError {
            code: Code::BadName,
            message: format!("table '{}' {fault}", super::tree::printable(name)),
        })?;
        let comment = super::tree::printable(comment);
        if comment.is_empty() {
            let _ = writeln!(text, "      - {}", scalar(name));
        } else {
            let _ = writeln!(text, "      - {}   # {comment}", scalar(name));
        }
    }
    Ok(())
}

/// A text that reads back as itself: `$` doubled, quoted where YAML asks for it.
fn scalar(text: &str) -> String {
    quoted_if_needed(&text.replace('$', "$$"))
}

fn quoted_if_needed(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:@=?&,+~%${}".contains(c);
    let begins_plainly =
        text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/' || c == '.');
    let is_plain = begins_plainly
        && text.chars().all(plain)
        && !text.ends_with(':')
        && !matches!(text, "null" | "true" | "false");
    if is_plain {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
