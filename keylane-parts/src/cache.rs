//! A folder for what is fetched once and used often.

use crate::error::{IoContext, PartsError, Result};
use std::fs::File;
use std::path::{Path, PathBuf};

const COMPLETE: &str = ".complete";

/// Where fetched parts are kept: `KEYLANE_PARTS_CACHE`, else `/var/cache/keylane-parts` for root (servers that run as another user must be able to read
/// it), else `$XDG_CACHE_HOME/keylane-parts`, else `~/.cache/keylane-parts`.
#[must_use]
pub fn cache_dir() -> PathBuf {
    if let Some(named) = std::env::var_os("KEYLANE_PARTS_CACHE") {
        return PathBuf::from(named);
    }
    if crate::install::is_root() {
        return PathBuf::from("/var/cache/keylane-parts");
    }
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let base = base.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    base.unwrap_or_else(std::env::temp_dir)
        .join("keylane-parts")
}

/// Whether the folder `name` of the cache is filled.
pub(crate) fn has(name: &str) -> bool {
    cache_dir().join(name).join(COMPLETE).is_file()
}

/// The folder `name` of the cache, filled by `fill` if nobody has filled it yet. Two processes do not fill at once, and a half-filled folder is never
/// returned: it is emptied and filled anew.
pub(crate) fn fetched(name: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let root = cache_dir();
    let folder = root.join(name);
    let marker = folder.join(COMPLETE);
    if marker.is_file() {
        return Ok(folder);
    }
    std::fs::create_dir_all(&root).doing("creating the cache", &root)?;
    let lock_path = root.join(format!("{name}.lock"));
    let lock = File::create(&lock_path).doing("creating a lock", &lock_path)?;
    lock.lock().doing("locking the cache", &lock_path)?;
    // Another process may have filled it while this one waited for the lock.
    if marker.is_file() {
        return Ok(folder);
    }
    if folder.exists() {
        std::fs::remove_dir_all(&folder).doing("removing a half-filled folder", &folder)?;
    }
    std::fs::create_dir_all(&folder).doing("creating a cache folder", &folder)?;
    fill(&folder)?;
    File::create(&marker).doing("marking a cache folder complete", &marker)?;
    Ok(folder)
}

/// The only file in `folder` whose name ends in `suffix`.
pub(crate) fn only_file(folder: &Path, suffix: &str) -> Result<PathBuf> {
    let entries = std::fs::read_dir(folder).doing("listing a folder", folder)?;
    let mut found = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.to_string_lossy().ends_with(suffix));
    match (found.next(), found.next()) {
        (Some(path), None) => Ok(path),
        _ => Err(PartsError::Invalid(format!(
            "expected one file *{suffix} in {}",
            folder.display()
        ))),
    }
}
