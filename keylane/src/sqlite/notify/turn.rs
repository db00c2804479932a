//! Whose turn it is to look and to send: one process of a machine, by a lock on a file of the state folder that dies with the process.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::own_file::locked;

const FILE: &str = "notify.lock";

/// The turn, held while this lives.
pub struct Turn {
    _file: File,
}

impl Turn {
    /// Takes the turn. `None` while another process, or another holder in this one, has it.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn take(state_dir: &Path) -> io::Result<Option<Turn>> {
        let file = locked(&state_dir.join(FILE))?;
        Ok(file.map(|file| Turn { _file: file }))
    }
}
