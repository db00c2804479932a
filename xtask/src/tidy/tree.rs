//! The files of the repository as text, without what is built or generated.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const LEFT_OUT: [&str; 6] = [
    ".git",
    "target",
    ".keylane",
    ".keylane-dev",
    "results",
    "node_modules",
];

/// One text file; its path is relative to the root, with `/` between the parts.
pub(crate) struct SourceFile {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl SourceFile {
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    pub(crate) fn lines(&self) -> usize {
        self.text.lines().count()
    }
}

/// All text files under `root`, by path.
pub(crate) fn read(root: &Path) -> io::Result<Vec<SourceFile>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if LEFT_OUT.iter().any(|name| entry.file_name() == *name) {
                continue;
            }
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                files.extend(read_file(root, entry.path())?);
            }
        }
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(files)
}

/// Nothing for a file that is not text.
fn read_file(root: &Path, path: PathBuf) -> io::Result<Option<SourceFile>> {
    let relative = path.strip_prefix(root).unwrap_or(&path);
    let relative = relative.to_string_lossy().into_owned();
    let text = String::from_utf8(fs::read(&path)?).ok();
    Ok(text.map(|text| SourceFile {
        path: relative,
        text,
    }))
}
