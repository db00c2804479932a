//! Jars by Maven: published coordinates and what they depend on, into one folder.

use crate::error::{IoContext, Result};
use crate::install::{Tool, ensure_installed, run};
use std::path::Path;
use std::process::Command;

/// One artifact: group, name, version.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Artifact(
    pub(crate) &'static str,
    pub(crate) &'static str,
    pub(crate) &'static str,
);

/// Copies `artifacts` and everything they need at run time into `folder`.
pub(crate) fn copy_dependencies(artifacts: &[Artifact], folder: &Path) -> Result<()> {
    ensure_installed(&[Tool::Maven])?;
    let scratch = tempfile::tempdir().doing("creating a temporary folder", folder)?;
    let pom = scratch.path().join("pom.xml");
    std::fs::write(&pom, pom_of(artifacts)).doing("writing a pom", &pom)?;
    run(
        "fetching jars",
        Command::new("mvn")
            .args(["-q", "-B", "-f"])
            .arg(&pom)
            .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
            .arg(format!("-DoutputDirectory={}", folder.display())),
    )?;
    Ok(())
}

fn pom_of(artifacts: &[Artifact]) -> String {
    let dependencies: String = artifacts
        .iter()
        .map(|Artifact(group, name, version)| {
            format!(
                "<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version></dependency>\n"
            )
        })
        .collect();
    format!(
        "<project><modelVersion>4.0.0</modelVersion><groupId>keylane</groupId><artifactId>parts</artifactId><version>1</version>\
         <packaging>pom</packaging><dependencies>\n{dependencies}</dependencies></project>\n"
    )
}
