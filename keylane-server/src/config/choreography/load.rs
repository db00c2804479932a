//! From a file to a choreography, or to all that is wrong with it.

use std::path::Path;

use keylane_core::saga::{Choreography, Plan, check_choreography};

use super::{definition, findings};
use crate::config::error::ConfigError;
use crate::config::reader::Reader;
use crate::config::saga::{self, Kind};
use crate::config::tree::Node;

/// What a file may define.
#[derive(Clone, Debug)]
pub enum SagaFile {
    /// A saga that is driven.
    Orchestration(Box<Plan>),
    /// A saga that nobody drives.
    Choreography(Box<Choreography>),
}

/// Reads and checks a choreography.
///
/// # Errors
/// Everything that is wrong with it, ready to print.
pub fn load_choreography(path: &Path) -> Result<Choreography, ConfigError> {
    saga::load(path, parse_choreography)
}

/// Checks a choreography's text; `file` is what messages call it.
///
/// # Errors
/// Everything that is wrong with it, ready to print.
pub fn parse_choreography(text: &str, file: &str) -> Result<Choreography, ConfigError> {
    saga::parse(text, file, |reader, root| {
        match saga::is_kind(reader, root, Kind::Choreography) {
            true => choreography(reader, root),
            false => None,
        }
    })
}

/// Reads a definition of either kind; which one, its first key says: `saga` or `choreography`.
///
/// # Errors
/// Everything that is wrong with it, ready to print.
pub fn load_saga_file(path: &Path) -> Result<SagaFile, ConfigError> {
    saga::load(path, |text, file| {
        saga::parse(text, file, |reader, root| match saga::kind(root) {
            Some(Kind::Choreography) => {
                choreography(reader, root).map(|it| SagaFile::Choreography(Box::new(it)))
            }
            Some(Kind::Orchestration) | None => {
                saga::plan(reader, root).map(|it| SagaFile::Orchestration(Box::new(it)))
            }
        })
    })
}

/// The choreography, if there is one; every mistake is reported.
fn choreography(reader: &Reader<'_>, root: &Node) -> Option<Choreography> {
    let read = definition::read(reader, root).ok()?;
    let found = check_choreography(&read);
    for finding in &found {
        reader.report(findings::issue(&reader.source, root, &read, finding));
    }
    found.is_empty().then_some(read)
}
