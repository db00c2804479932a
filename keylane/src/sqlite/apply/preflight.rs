//! What must be right at a SQLite replica, asked without changing it.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::preflight::Finding;

/// Looks at the replica's file and the triggers on its tables. Blocks while it reads the file's schema.
pub fn preflight(path: &Path) -> Vec<Finding> {
    let subject = path.display().to_string();
    if !path.exists() {
        return vec![folder(path)];
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let looked = Connection::open_with_flags(path, flags).and_then(|connection| {
        connection.busy_timeout(Duration::from_secs(2))?;
        let writable = !connection.is_readonly("main")?;
        let mut statement = connection.prepare(
            "SELECT tbl_name, group_concat(name, ', ') FROM sqlite_schema WHERE type = 'trigger' AND name NOT LIKE 'keylane%' GROUP BY tbl_name",
        )?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let triggers: Vec<(String, String)> = rows.collect::<Result<_, _>>()?;
        Ok((writable, triggers))
    });
    let (writable, triggers) = match looked {
        Ok(looked) => looked,
        Err(cause) => {
            return vec![
                Finding::passed("file", subject, cause.to_string())
                    .unless(false, "name a SQLite file that this user may read and write, or one that is not there yet"),
            ];
        }
    };
    let found = if writable {
        "may be written"
    } else {
        "may not be written"
    };
    let fix = "let this user write the file and its folder";
    let mut findings = vec![Finding::passed("file", subject, found).unless(writable, fix)];
    findings.extend(triggers.into_iter().map(|(table, names)| {
        Finding::passed(
            "triggers",
            format!("table {table}"),
            format!("has triggers that fire for applied changes too: {names}"),
        )
        .unless(
            false,
            "if they write what the origin writes as well, drop them at the replica",
        )
        .warning()
    }));
    findings
}

/// The file is created at the start: its folder must take it.
fn folder(path: &Path) -> Finding {
    let folder = match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => Path::new("/"),
    };
    let takes_files = std::fs::metadata(folder)
        .is_ok_and(|found| found.is_dir() && !found.permissions().readonly());
    let found = match takes_files {
        true => "not there; it is created at the start",
        false => "not there, and its folder takes no files",
    };
    let fix = format!(
        "make the folder {} and let this user write it",
        folder.display()
    );
    Finding::passed("file", path.display().to_string(), found).unless(takes_files, fix)
}
