//! Which tests may start parts.

use std::io::Write;

/// True when only tests without outside parts are wanted (`KEYLANE_TEST_QUICK=1`); says so on stderr. A test that needs
/// parts asks first and returns early; the task runner then counts it as skipped, not as passed.
#[must_use]
pub fn quick() -> bool {
    let quick = std::env::var_os("KEYLANE_TEST_QUICK").is_some_and(|value| value == "1");
    if quick {
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("a test");
        eprintln!("skipped in quick mode: {test}");
        note_skipped(test);
    }
    quick
}

/// True when tests that take long are wanted too (`KEYLANE_TEST_SLOW=1`).
#[must_use]
pub fn slow() -> bool {
    let slow = std::env::var_os("KEYLANE_TEST_SLOW").is_some_and(|value| value == "1");
    if !slow {
        let thread = std::thread::current();
        note_skipped(thread.name().unwrap_or("a test"));
    }
    slow
}

/// The task runner names a file to collect them in; without it nobody counts.
fn note_skipped(test: &str) {
    if let Some(path) = std::env::var_os("KEYLANE_TEST_SKIPPED_FILE")
        && let Ok(mut file) = std::fs::File::options().append(true).open(path)
    {
        // One write: several tests may add at once.
        let _ = file.write_all(format!("{test}\n").as_bytes());
    }
}
