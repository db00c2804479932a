//! Adds up the result lines that the test binaries print.

use std::fmt;

/// Tests counted over all test binaries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Summary {
    /// Takes in one line of output; lines other than `test result: …` change nothing.
    pub(crate) fn read(&mut self, line: &str) {
        let Some(counts) = line.trim_start().strip_prefix("test result: ") else {
            return;
        };
        // "ok. 7 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.05s"
        for part in counts.split([';', '.']) {
            let mut words = part.split_whitespace();
            let (Some(number), Some(what)) = (words.next(), words.next()) else {
                continue;
            };
            let Ok(number) = number.parse::<u64>() else {
                continue;
            };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" | "filtered" => self.skipped += number,
                _ => {}
            }
        }
    }

    /// Counts tests that returned early and were reported as passed.
    pub(crate) fn skipped_early(&mut self, tests: u64) {
        let tests = tests.min(self.passed);
        self.passed -= tests;
        self.skipped += tests;
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            passed,
            failed,
            skipped,
        } = self;
        write!(
            f,
            "tests: {passed} passed, {failed} failed, {skipped} skipped"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Summary;

    fn check(lines: &[&str], early: u64, expect: &str) {
        let mut summary = Summary::default();
        for line in lines {
            summary.read(line);
        }
        summary.skipped_early(early);
        assert_eq!(summary.to_string(), expect);
    }

    #[test]
    fn result_lines_of_all_binaries_are_added_up() {
        let one = "test result: ok. 7 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.05s";
        let two = "test result: FAILED. 3 passed; 4 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.5s";
        let noise = ["running 3 tests", "test a ... ok", ""];
        check(&[one, two], 0, "tests: 10 passed, 4 failed, 3 skipped");
        check(&noise, 0, "tests: 0 passed, 0 failed, 0 skipped");
        check(&[one], 5, "tests: 2 passed, 0 failed, 8 skipped");
    }
}
