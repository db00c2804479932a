//! How a definition is named on the command line.

/// `NAME` or `NAME@VERSION`.
///
/// # Errors
/// In words, if it is neither.
pub fn named(text: &str) -> Result<(String, Option<u32>), String> {
    match text.split_once('@') {
        None => Ok((text.to_owned(), None)),
        Some((name, version)) => {
            let version = version
                .parse()
                .map_err(|_| format!("{version} is no version: write NAME@1"))?;
            Ok((name.to_owned(), Some(version)))
        }
    }
}
