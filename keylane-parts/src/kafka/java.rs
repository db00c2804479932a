//! Kafka's jars and a Java that runs them: fetched once, its classes archived once (which halves the time to start).

use crate::cache;
use crate::error::{IoContext, PartsError, Result};
use crate::install::{Tool, ensure_installed, on_path};
use crate::maven::{self, Artifact};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const VERSION: &str = "4.3.0";
const ARTIFACTS: [Artifact; 3] = [
    Artifact("org.apache.kafka", "kafka_2.13", VERSION),
    // Brings Kafka Connect's runtime along.
    Artifact("org.apache.kafka", "kafka-tools", VERSION),
    Artifact("org.slf4j", "slf4j-simple", "1.7.36"),
];
const TOOL_HEAP_MB: u32 = 128;
const ARCHIVE: &str = "classes.jsa";

/// What is needed to run a class of Kafka.
#[derive(Clone, Debug)]
pub(crate) struct Java {
    jars: PathBuf,
    archive: Archive,
}

#[derive(Clone, Debug)]
enum Archive {
    None,
    Use(PathBuf),
    Write(PathBuf),
}

impl Java {
    /// Kafka's jars, fetched if they are not there.
    pub(crate) fn of_kafka() -> Result<Self> {
        ensure_installed(&[Tool::Java])?;
        let jars = cache::fetched(&format!("kafka-{VERSION}"), |folder| {
            eprintln!("fetching Kafka {VERSION} into {}", folder.display());
            maven::copy_dependencies(&ARTIFACTS, folder)
        })?;
        Ok(Self {
            jars,
            archive: Archive::None,
        })
    }

    /// The same with an archive of the classes that a broker loads. `exercise` runs and stops one, once per Java installation, so that Java writes it.
    pub(crate) fn with_archive(self, exercise: impl FnOnce(Self) -> Result<()>) -> Result<Self> {
        let name = format!("kafka-{VERSION}-classes-{}", installation()?);
        let jars = self.jars.clone();
        let folder = cache::fetched(&name, |folder| {
            let path = folder.join(ARCHIVE);
            exercise(Self {
                jars: self.jars,
                archive: Archive::Write(path.clone()),
            })?;
            path.is_file().then_some(()).ok_or_else(|| {
                PartsError::Invalid(format!("Java did not write {}", path.display()))
            })
        })?;
        Ok(Self {
            jars,
            archive: Archive::Use(folder.join(ARCHIVE)),
        })
    }

    /// A Java that is to run `class` with a heap of at most `heap_mb` MiB.
    pub(crate) fn run(&self, class: &str, heap_mb: u32) -> Command {
        let mut java = Command::new("java");
        java.arg(format!("-Xmx{heap_mb}m"))
            // An archive that does not fit is passed over.
            .args(["-Xshare:auto", "-Xlog:disable"])
            .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
            .arg("-Dorg.slf4j.simpleLogger.showDateTime=true")
            .arg("-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS");
        match &self.archive {
            Archive::None => &mut java,
            Archive::Use(path) => java.arg(option("SharedArchiveFile", path)),
            Archive::Write(path) => java.arg(option("ArchiveClassesAtExit", path)),
        };
        java.arg("-cp").arg(self.jars.join("*")).arg(class);
        java
    }
}

/// A program of Kafka's own, such as `kafka-configs`, to be given its arguments.
///
/// # Errors
/// When Kafka or Java are missing and cannot be fetched, or there is no such program.
pub fn kafka_tool(name: &str) -> Result<Command> {
    let class = match name {
        "kafka-configs" => "kafka.admin.ConfigCommand",
        "kafka-topics" => "org.apache.kafka.tools.TopicCommand",
        _ => return Err(PartsError::Invalid(format!("Kafka has no tool {name}"))),
    };
    Ok(Java::of_kafka()?.run(class, TOOL_HEAP_MB))
}

fn option(name: &str, path: &Path) -> String {
    format!("-XX:{name}={}", path.display())
}

/// Tells one Java installation from the next: an archive fits only the Java that wrote it.
fn installation() -> Result<String> {
    let java = on_path("java").unwrap_or_else(|| PathBuf::from("java"));
    let itself = java.canonicalize().doing("looking for Java", &java)?;
    let metadata = itself.metadata().doing("looking at Java", &itself)?;
    Ok(format!("{}-{}", metadata.mtime(), metadata.len()))
}
