//! A mistake while the file is being read: a [`Problem`] that has not met the text of the file yet.

use super::code::Code;
use super::error::Problem;
use super::source::{Place, Source, Span};

#[derive(Clone, Debug)]
pub(super) struct Issue {
    pub code: Code,
    /// None: about the whole file.
    pub span: Option<Span>,
    pub message: String,
    pub did_you_mean: Option<String>,
    pub remedy: String,
}

impl Issue {
    pub fn new(
        code: Code,
        span: Span,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Issue {
        Issue {
            span: Some(span),
            ..Issue::whole_file(code, message, remedy)
        }
    }

    pub fn whole_file(code: Code, message: impl Into<String>, remedy: impl Into<String>) -> Issue {
        Issue {
            code,
            span: None,
            message: message.into(),
            did_you_mean: None,
            remedy: remedy.into(),
        }
    }

    /// Adds the nearest of `names` to `written`, if one is near enough to be what was meant.
    pub fn suggest<'n>(mut self, written: &str, names: impl Iterator<Item = &'n str>) -> Issue {
        self.did_you_mean = nearest(written, names).map(str::to_owned);
        self
    }

    /// The finished problem; `masked` is what its snippet must hide, None if the text is not YAML and only the look of
    /// the line can tell.
    pub fn into_problem(self, source: Option<&Source<'_>>, masked: Option<&[Span]>) -> Problem {
        let snippet = match (self.span, source, masked) {
            (Some(span), Some(source), Some(masked)) => source.snippet(span, masked),
            (Some(span), Some(source), None) => source.snippet_by_look(span),
            (None, _, _) | (_, None, _) => None,
        };
        let place = self.span.map_or(Place { line: 0, column: 0 }, |s| s.start);
        Problem {
            code: self.code,
            line: place.line,
            column: place.column,
            message: self.message,
            snippet,
            did_you_mean: self.did_you_mean,
            remedy: self.remedy,
        }
    }
}

/// The name that is near enough to be what was meant.
pub(super) fn nearest<'n>(written: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    const WRITTEN_BYTES_MAX: usize = 60;
    const SIMILARITY_MIN: f64 = 0.6;
    if written.len() > WRITTEN_BYTES_MAX {
        return None;
    }
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let written = plain(written);
    names
        .map(|name| {
            (
                strsim::normalized_damerau_levenshtein(&written, &plain(name)),
                name,
            )
        })
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}
