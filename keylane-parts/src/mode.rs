//! Which tests may start parts.

/// True when only tests without outside parts are wanted (`KEYLANE_TEST_QUICK=1`); says so on stderr, so that a test that returns early is seen to.
#[must_use]
pub fn quick() -> bool {
    let quick = std::env::var_os("KEYLANE_TEST_QUICK").is_some_and(|value| value == "1");
    if quick {
        let thread = std::thread::current();
        eprintln!(
            "skipped in quick mode: {}",
            thread.name().unwrap_or("a test")
        );
    }
    quick
}
