//! Whose turn it is to look and to send: one process of a machine, by a lock on a file of the state folder that dies with the process.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use fs4::fs_std::FileExt as _;

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
        std::fs::create_dir_all(state_dir)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(state_dir.join(FILE))?;
        let is_ours = file.try_lock_exclusive()?;
        Ok(is_ours.then_some(Turn { _file: file }))
    }
}
