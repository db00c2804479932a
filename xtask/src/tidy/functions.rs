//! How long each function is, by matching braces.

use super::blank::is_word;

/// A function: the line it begins in (from 1) and its lines up to the closing brace.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) lines: usize,
}

/// The functions of `code`, which holds neither strings nor comments. Those without a body are left out.
pub(crate) fn functions(code: &str) -> Vec<Function> {
    let mut found = Vec::new();
    for (place, _) in code.match_indices("fn ") {
        let (Some(before), Some(after)) = (code.get(..place), code.get(place + 3..)) else {
            continue;
        };
        let name: String = after
            .chars()
            .take_while(|letter| is_word(*letter))
            .collect();
        if before.ends_with(is_word) || name.is_empty() {
            continue;
        }
        if let Some(length) = body_end(after) {
            let text = after.get(..length).unwrap_or(after);
            found.push(Function {
                name,
                line: before.matches('\n').count() + 1,
                lines: text.matches('\n').count() + 1,
            });
        }
    }
    found
}

/// Where the body of the function that begins here closes; nothing when it has none.
fn body_end(text: &str) -> Option<usize> {
    let (mut braces, mut inner) = (0_usize, 0_usize);
    for (place, letter) in text.char_indices() {
        match letter {
            '(' | '[' => inner += 1,
            ')' | ']' => inner = inner.saturating_sub(1),
            ';' if braces == 0 && inner == 0 => return None,
            '{' => braces += 1,
            '}' => {
                braces = braces.saturating_sub(1);
                if braces == 0 {
                    return Some(place + 1);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::functions;

    #[test]
    fn functions_are_as_long_as_from_their_name_to_their_last_brace() {
        let code = "trait T { fn a(&self, x: [u8; 4]);\nfn b(&self) -> u8 {\n if x {\n }\n 1 }\n}\nfn c() {}\nlet fn_d = 1;";
        let found: Vec<(String, usize, usize)> = functions(code)
            .into_iter()
            .map(|function| (function.name, function.line, function.lines))
            .collect();
        assert_eq!(found, [("b".to_owned(), 2, 4), ("c".to_owned(), 7, 1)]);
    }
}
