//! What a person sees when the file is wrong: one paragraph per mistake, in the manner of a compiler.

use std::fmt;

use super::code::Code;

/// Problems beyond this many are counted, not printed.
const PROBLEMS_SHOWN_MAX: usize = 40;

/// Everything that is wrong with one configuration file, or one saga's definition. Its `Display` is the text for a person; the command ends with
/// exit code 2 on it. Holds no secret and no unmasked line of the file.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigError {
    pub(super) file: String,
    pub(super) problems: Vec<Problem>,
}

/// One mistake, with all a tool needs to show it elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What kind of mistake it is.
    pub code: Code,
    /// Line, from 1; 0 where the mistake is about the whole file.
    pub line: u32,
    /// Column in characters, from 1; 0 where the mistake is about the whole file.
    pub column: u32,
    /// What is wrong, in one sentence.
    pub message: String,
    /// The line of the file, secrets masked.
    pub snippet: Option<Snippet>,
    /// The nearest known name, if one is near.
    pub did_you_mean: Option<String>,
    /// What to do about it.
    pub remedy: String,
}

/// One line of the file, made fit to print: secrets masked, control characters and tabs replaced, cut to a bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snippet {
    /// The line as shown.
    pub text: String,
    /// Characters before the caret.
    pub caret_offset: usize,
    /// How many carets, at least 1.
    pub caret_len: usize,
}

impl ConfigError {
    /// The mistakes, in the order of the file.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The file's name as it was given.
    pub fn file(&self) -> &str {
        &self.file
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().take(PROBLEMS_SHOWN_MAX).enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write_problem(f, &self.file, problem)?;
        }
        let count = self.problems.len();
        if count > PROBLEMS_SHOWN_MAX {
            let hidden = count - PROBLEMS_SHOWN_MAX;
            writeln!(f, "\n… and {hidden} more")?;
        }
        if count > 1 {
            writeln!(f, "\n{count} errors in {}", self.file)?;
        }
        Ok(())
    }
}

impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A test that unwraps a `Result` shows the text a user would see.
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for ConfigError {}

fn write_problem(f: &mut fmt::Formatter<'_>, file: &str, problem: &Problem) -> fmt::Result {
    let Problem {
        code,
        line,
        column,
        message,
        ..
    } = problem;
    if *line == 0 {
        writeln!(f, "{file}: error[{code}]: {message}")?;
    } else {
        writeln!(f, "{file}:{line}:{column}: error[{code}]: {message}")?;
    }
    let gutter = line.to_string().len();
    if let Some(snippet) = &problem.snippet {
        writeln!(f, "{:gutter$} |", "")?;
        writeln!(f, "{line} | {}", snippet.text)?;
        write!(
            f,
            "{:gutter$} | {:offset$}{}",
            "",
            "",
            "^".repeat(snippet.caret_len),
            offset = snippet.caret_offset
        )?;
        match &problem.did_you_mean {
            Some(name) => writeln!(f, " did you mean '{name}'?")?,
            None => writeln!(f)?,
        }
    } else if let Some(name) = &problem.did_you_mean {
        writeln!(f, "{:gutter$} = did you mean '{name}'?", "")?;
    }
    writeln!(f, "{:gutter$} = {}", "", problem.remedy)
}
