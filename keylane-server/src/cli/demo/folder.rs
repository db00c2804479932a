//! Where the demo works: a folder given by the user, or a temporary one that goes when all is well.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::exit_code::{Exit, Failure};

/// Says that a folder is a demo's, so that the next demo may replace it.
const MARK: &str = ".keylane-demo";

/// The demo's folder.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    temporary: Option<tempfile::TempDir>,
}

impl Folder {
    /// Takes the given folder, which must be empty, new, or a former demo's; or makes a temporary one.
    ///
    /// # Errors
    /// If the folder holds anything that is not a demo's, or cannot be written.
    pub fn take(given: Option<&Path>, leaves: Leaves) -> Result<Self, Failure> {
        let cannot = |path: &Path, error: io::Error| {
            Failure::new(
                Exit::Error,
                format!("the demo cannot use the folder {}: {error}", path.display()),
            )
        };
        let Some(path) = given else {
            let temporary = tempfile::Builder::new().prefix("keylane-demo-").tempdir();
            let temporary = temporary.map_err(|error| cannot(&std::env::temp_dir(), error))?;
            return Ok(Folder {
                path: temporary.path().to_owned(),
                temporary: Some(temporary),
            });
        };
        if path.exists() && !path.is_dir() {
            return Err(cannot(path, io::Error::other("it is a file, not a folder")));
        }
        fs::create_dir_all(path).map_err(|error| cannot(path, error))?;
        let path = path.canonicalize().map_err(|error| cannot(path, error))?;
        clear(&path, leaves).map_err(|error| cannot(&path, error))?;
        fs::write(
            path.join(MARK),
            "Made by a demo of keylane; the next demo here replaces its files.\n",
        )
        .map_err(|error| cannot(&path, error))?;
        Ok(Folder {
            path,
            temporary: None,
        })
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it goes when all is well.
    fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }

    /// What kept a demo from proving anything, as it is told: after an interruption by how that ends a process; else with where everything is left.
    pub fn left(&mut self, mut failure: Failure, seed: u64, interrupted: Option<Exit>) -> Failure {
        match interrupted {
            Some(exit) => failure.exit = exit,
            None => {
                self.keep();
                let place = self.path.display();
                failure.message += &format!("\n  seed {seed}; everything is left in {place}");
            }
        }
        failure
    }

    /// Where it is, if it stays behind a demo that ended so.
    pub fn behind(&mut self, exit: Exit) -> Option<String> {
        if exit != Exit::Ok {
            self.keep();
        }
        (!self.is_temporary()).then(|| self.path.display().to_string())
    }

    /// Keeps it even if it was meant to go.
    fn keep(&mut self) {
        if let Some(temporary) = self.temporary.take() {
            self.path = temporary.keep();
        }
    }
}

/// What a demo leaves in its folder.
#[derive(Clone, Copy, Debug)]
pub struct Leaves {
    /// SQLite files; what SQLite and Keylane put beside them is a demo's too.
    pub databases: &'static [&'static str],
    /// Other files and folders.
    pub others: &'static [&'static str],
}

impl Leaves {
    fn holds(&self, name: &str) -> bool {
        let of_database = |file: &&str| {
            name == *file
                || name.strip_prefix(file).is_some_and(|rest| {
                    matches!(rest, "-wal" | "-shm" | "-journal" | ".keylane-lock")
                })
        };
        name == MARK || self.others.contains(&name) || self.databases.iter().any(of_database)
    }
}

/// Removes what a former demo left. Anything else is somebody's: it is refused before anything is removed.
fn clear(path: &Path, leaves: Leaves) -> io::Result<()> {
    let entries: Vec<fs::DirEntry> = fs::read_dir(path)?.collect::<io::Result<_>>()?;
    let ours = |name: &str| leaves.holds(name);
    let foreign = entries
        .iter()
        .find(|entry| !entry.file_name().to_str().is_some_and(ours));
    let marked = path.join(MARK).is_file();
    if let Some(foreign) = foreign.or(entries.first().filter(|_| !marked)) {
        let message = format!(
            "it holds {}, which no demo made, and nothing was touched. Name an empty or a new folder",
            foreign.file_name().to_string_lossy()
        );
        return Err(io::Error::other(message));
    }
    for entry in entries {
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?
        } else {
            fs::remove_file(entry.path())?
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAVES: Leaves = Leaves {
        databases: &["origin.db"],
        others: &[".keylane"],
    };

    #[test]
    fn a_former_demo_is_replaced_and_nothing_else_is() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let path = parent.path().join("new");
        let take = || Folder::take(Some(&path), LEAVES);
        fs::write(take().expect("a new folder").file("origin.db-wal"), "x").expect("a file");
        let again = take().expect("a former demo's folder");
        assert!(!again.file("origin.db-wal").exists());
        fs::write(path.join("thesis.txt"), "x").expect("a file");
        fs::write(path.join("origin.db"), "x").expect("a file");
        let refused = take().expect_err("a foreign file");
        assert!(
            refused.message.contains("thesis.txt"),
            "{}",
            refused.message
        );
        assert!(path.join("origin.db").exists());
        fs::remove_file(path.join("thesis.txt")).expect("it is there");
        fs::remove_file(path.join(MARK)).expect("it is there");
        let refused = take().expect_err("a database that no demo made");
        assert!(refused.message.contains("origin.db"), "{}", refused.message);
    }

    #[test]
    fn a_temporary_folder_goes_unless_it_is_kept() {
        let mut kept = Folder::take(None, LEAVES).expect("a temporary folder");
        kept.keep();
        let kept = kept.path().to_owned();
        let gone = Folder::take(None, LEAVES)
            .expect("a temporary folder")
            .path()
            .to_owned();
        assert!(kept.exists() && !gone.exists());
        fs::remove_dir_all(kept).expect("it is there");
    }
}
