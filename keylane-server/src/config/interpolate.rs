//! `${NAME}`, `${NAME:-default}` and `$$` in a value.
//!
//! An unset variable is an error, never an empty text. A variable inside the user part of a URL
//! (`postgres://app:${PASSWORD}@db/shop`) is percent-encoded on its way in, so that a password needs no escaping.

/// Where values come from: the process environment, or a test's map.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// How a variable's value enters the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Insert {
    AsItIs,
    /// Percent-encoded where it stands before the `@` of a URL, unless the variable is the whole beginning of the text.
    IntoUrl,
}

#[derive(Debug)]
pub(super) struct Expanded {
    pub text: String,
    /// Names of the variables that were used.
    pub variables: Vec<String>,
}

/// A reference that cannot be resolved.
#[derive(Debug)]
pub(super) struct Fault {
    /// The text to find in the file, so that the error points at it.
    pub needle: String,
    pub message: String,
    pub remedy: String,
}

/// Replaces the references in `text`.
pub(super) fn expand(text: &str, lookup: Lookup<'_>, insert: Insert) -> Result<Expanded, Fault> {
    let user_end = text.rfind('@').unwrap_or(0);
    let mut expanded = Expanded {
        text: String::with_capacity(text.len()),
        variables: Vec::new(),
    };
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        expanded.text.push_str(before);
        if let Some(after) = from.strip_prefix("$$") {
            expanded.text.push('$');
            rest = after;
        } else if let Some(body) = from.strip_prefix("${") {
            let Some((body, after)) = body.split_once('}') else {
                return Err(unclosed());
            };
            let offset = text.len() - from.len();
            let value = resolve(body, lookup, &mut expanded.variables)?;
            if insert == Insert::IntoUrl && offset > 0 && offset < user_end {
                push_encoded(&mut expanded.text, &value);
            } else {
                expanded.text.push_str(&value);
            }
            rest = after;
        } else {
            expanded.text.push('$');
            rest = from.strip_prefix('$').unwrap_or_default();
        }
    }
    expanded.text.push_str(rest);
    Ok(expanded)
}

/// A text in which variables have no meaning.
pub(super) fn none_in(text: &str) -> Result<Expanded, Fault> {
    if text.contains("${") {
        return Err(Fault {
            needle: "${".to_owned(),
            message: "variables have no meaning here".to_owned(),
            remedy: "write the value itself: a definition is the same wherever it is read"
                .to_owned(),
        });
    }
    Ok(Expanded {
        text: text.to_owned(),
        variables: Vec::new(),
    })
}

fn resolve(body: &str, lookup: Lookup<'_>, used: &mut Vec<String>) -> Result<String, Fault> {
    let (name, default) = match body.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (body, None),
    };
    if !is_variable_name(name) {
        return Err(Fault {
            needle: "${".to_owned(),
            message: "'${…}' does not hold the name of an environment variable".to_owned(),
            remedy: "write ${NAME} or ${NAME:-default}; a literal '${' is written '$${'".to_owned(),
        });
    }
    used.push(name.to_owned());
    let value = lookup(name);
    match (value, default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(Fault {
            needle: format!("${{{name}"),
            message: format!("environment variable {name} is not set"),
            remedy: format!("set {name}, or give a default: ${{{name}:-value}}"),
        }),
    }
}

fn is_variable_name(name: &str) -> bool {
    const CHARS_MAX: usize = 128;
    let mut chars = name.chars();
    chars
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name.len() <= CHARS_MAX
}

fn unclosed() -> Fault {
    Fault {
        needle: "${".to_owned(),
        message: "'${' is not closed".to_owned(),
        remedy: "write ${NAME}; a literal '${' is written '$${'".to_owned(),
    }
}

/// Percent-encodes everything that is not unreserved in a URL.
pub(super) fn push_encoded(into: &mut String, value: &str) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            into.push(char::from(byte));
        } else {
            into.push_str(&format!("%{byte:02X}"));
        }
    }
}
