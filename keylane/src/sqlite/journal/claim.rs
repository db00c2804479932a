//! Which table is being compared now: one run of a machine at a time, by a lock on a file of the state folder that dies with the process.

use std::fs::File;
use std::io;
use std::path::Path;

use keylane_core::model::fingerprint;

use crate::own_file::locked;

/// A table, claimed while this lives.
pub struct Claim {
    _file: File,
}

impl Claim {
    /// Claims what is compared, by a name that tells it from others (both databases and the table). `None` while another run has it.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn take(state_dir: &Path, name: &str) -> io::Result<Option<Claim>> {
        let path = state_dir.join(format!("reconcile-{:016x}.lock", fingerprint(name)));
        let file = locked(&path)?;
        Ok(file.map(|file| Claim { _file: file }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_compared_by_one_run_at_a_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let take = |name| Claim::take(folder.path(), name).expect("asked");
        let first = take("a");
        assert!(first.is_some() && take("a").is_none() && take("b").is_some());
        drop(first);
        assert!(take("a").is_some());
    }
}
