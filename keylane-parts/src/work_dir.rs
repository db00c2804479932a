//! A temporary folder that goes with its owner, or stays where a caller named it.

use crate::error::{IoContext, Result};
use crate::guard;
use std::path::{Path, PathBuf};

/// A folder of one part. A temporary one is removed on drop, and by the guard when the process is killed.
#[derive(Debug)]
pub(crate) struct WorkDir {
    path: PathBuf,
    temporary: bool,
}

impl WorkDir {
    /// A fresh folder under the system's temporary one. `KEYLANE_PARTS_KEEP=1` keeps it for a look afterwards.
    pub(crate) fn temporary(prefix: &str) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix(&format!("keylane-{prefix}-"))
            .tempdir()
            .doing("creating a temporary folder", std::env::temp_dir())?;
        let keep = std::env::var_os("KEYLANE_PARTS_KEEP").is_some_and(|value| value == "1");
        let path = dir.keep();
        if !keep {
            guard::register_folder(&path)?;
        }
        Ok(Self {
            path,
            temporary: !keep,
        })
    }

    /// A folder that the caller named and keeps.
    pub(crate) fn named(path: &Path) -> Result<Self> {
        std::fs::create_dir_all(path).doing("creating a folder", path)?;
        let path = path.canonicalize().doing("resolving a folder", path)?;
        Ok(Self {
            path,
            temporary: false,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        if self.temporary && std::fs::remove_dir_all(&self.path).is_ok() {
            // What could not be removed now is left to the guard.
            let _ = guard::forget_folder(&self.path);
        }
    }
}
