//! Where records are.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use keylane::LogSettings;
use keylane::embedded::EmbeddedOptions;
use keylane::kafka::KafkaSettings;

use crate::exit_code::{Exit, Failure};

/// A cluster, or a file.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("place").required(true).args(["bootstrap", "log"]))]
pub(super) struct Place {
    /// The cluster: HOST:PORT, several with commas between.
    #[arg(long, value_name = "HOST:PORT,…")]
    bootstrap: Option<String>,
    /// The embedded log's file, instead of a cluster (`log.embedded.path` of the configuration). One process of a group has all partitions, the one that joined last; the others stand by.
    #[arg(long, value_name = "PATH")]
    log: Option<PathBuf>,
    /// One of librdkafka's settings, as security.protocol=SSL; may be given more than once.
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = property, conflicts_with = "log")]
    properties: Vec<(String, String)>,
}

fn property(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((pair.0.to_owned(), pair.1.to_owned()))
}

impl Place {
    /// How to open the log that is there.
    ///
    /// # Errors
    /// If the file is not there: to make it would hide that it is another.
    pub(super) fn settings(&self) -> Result<LogSettings, Failure> {
        match (&self.bootstrap, &self.log) {
            (Some(bootstrap), _) => {
                let mut settings = KafkaSettings::new(&**bootstrap);
                settings.properties.clone_from(&self.properties);
                Ok(settings.into())
            }
            (None, Some(path)) if path.is_file() => {
                let mut options = EmbeddedOptions::at(path);
                // How much it may hold is for its pipelines to say; a dead letter is little beside it.
                options.bytes_max = u64::MAX;
                Ok(options.into())
            }
            (None, Some(path)) => {
                let message = format!(
                    "--log: there is no file {}: name that of the pipelines' embedded log (log.embedded.path)",
                    path.display()
                );
                Err(Failure::new(Exit::Usage, message))
            }
            (None, None) => Err(Failure::new(Exit::Usage, "--bootstrap or --log?")),
        }
    }
}
