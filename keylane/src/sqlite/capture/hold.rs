//! Holding the origin: a lock file beside it that only one process can have, freed by the system when that process dies.
//!
//! The lock file also tells how far capture was: an origin that stands before that is an older copy put back, whose new changes would wrongly pass
//! for old ones.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use fs4::fs_std::FileExt as _;
use keylane_core::capture::{OriginError, OriginErrorKind};

use super::error::{HELD, UNREADABLE, error};

/// The lock, held while this lives.
pub(super) struct Hold {
    file: File,
}

/// How far capture was when the note was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) identity: String,
    pub(super) confirmed: u64,
}

impl Hold {
    /// Takes the lock.
    ///
    /// # Errors
    /// `Busy` if another process has it.
    pub(super) fn take(origin: &Path) -> Result<Self, OriginError> {
        let path = lock_path(origin);
        let denied = |cause: std::io::Error| {
            error(
                OriginErrorKind::Refused,
                UNREADABLE,
                origin,
                format_args!("cannot lock {}: {cause}", path.display()),
            )
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(denied)?;
        if !file.try_lock_exclusive().map_err(denied)? {
            return Err(error(
                OriginErrorKind::Busy,
                HELD,
                origin,
                format_args!("another process captures it (it holds {})", path.display()),
            ));
        }
        Ok(Hold { file })
    }

    /// What was noted last; `None` if nothing readable.
    pub(super) fn note(&mut self) -> Option<Note> {
        let mut text = String::new();
        self.file.seek(SeekFrom::Start(0)).ok()?;
        (&self.file).take(256).read_to_string(&mut text).ok()?;
        let (identity, confirmed) = text.trim().split_once(' ')?;
        Some(Note {
            identity: identity.to_owned(),
            confirmed: confirmed.parse().ok()?,
        })
    }

    /// Notes how far capture is. A failure loses only the check that it serves.
    pub(super) fn write(&mut self, note: &Note) {
        let text = format!("{} {}\n", note.identity, note.confirmed);
        let written = self
            .file
            .seek(SeekFrom::Start(0))
            .and_then(|_| self.file.write_all(text.as_bytes()))
            .and_then(|()| self.file.set_len(text.len() as u64));
        if let Err(cause) = written {
            tracing::debug!("capture: the note in the lock file was not written: {cause}");
        }
    }
}

fn lock_path(origin: &Path) -> PathBuf {
    let mut name = origin.as_os_str().to_owned();
    name.push(".keylane-lock");
    PathBuf::from(name)
}
