//! Rust source with the insides of comments, strings and characters blanked out, so that braces and words can be looked for. Line ends stay.

/// The same number of lines and characters, with a space for everything that is not code.
pub(crate) fn code_only(source: &str) -> String {
    let mut rest: Vec<char> = source.chars().rev().collect();
    let mut out = String::with_capacity(source.len());
    let mut before = ' ';
    while let Some(next) = rest.pop() {
        let after = rest.last().copied().unwrap_or(' ');
        match next {
            '/' if after == '/' => blank(&mut rest, &mut out, line_comment),
            '/' if after == '*' => blank(&mut rest, &mut out, block_comment),
            '"' => blank(&mut rest, &mut out, string),
            'r' if !is_word(before) || before == 'b' || before == 'c' => match raw_hashes(&rest) {
                Some(hashes) => blank(&mut rest, &mut out, |rest| raw_string(rest, hashes)),
                None => out.push(next),
            },
            '\'' if is_character(&rest) => blank(&mut rest, &mut out, character),
            code => out.push(code),
        }
        before = next;
    }
    out
}

/// Takes what `length` says off `rest`, and the character before it, and puts blanks for them.
fn blank(rest: &mut Vec<char>, out: &mut String, length: impl FnOnce(&[char]) -> usize) {
    out.push(' ');
    for _ in 0..length(rest) {
        match rest.pop() {
            Some('\n') => out.push('\n'),
            Some(_) => out.push(' '),
            None => return,
        }
    }
}

// What follows looks at what is left, in reverse: the next character is the last.

fn line_comment(rest: &[char]) -> usize {
    rest.iter().rev().take_while(|next| **next != '\n').count()
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut before) = (1_u32, ' ');
    for (taken, next) in rest.iter().rev().enumerate().skip(1) {
        match (before, *next) {
            ('*', '/') => depth -= 1,
            ('/', '*') => depth += 1,
            _ => {
                before = *next;
                continue;
            }
        }
        before = ' ';
        if depth == 0 {
            return taken + 1;
        }
    }
    rest.len()
}

fn string(rest: &[char]) -> usize {
    quoted(rest, '"')
}

fn character(rest: &[char]) -> usize {
    quoted(rest, '\'')
}

fn quoted(rest: &[char], quote: char) -> usize {
    let mut escaped = false;
    for (taken, next) in rest.iter().rev().enumerate() {
        match *next {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            next if next == quote => return taken + 1,
            _ => {}
        }
    }
    rest.len()
}

/// After an `r`: how many hashes open a raw string, if one opens.
fn raw_hashes(rest: &[char]) -> Option<usize> {
    let hashes = rest.iter().rev().take_while(|next| **next == '#').count();
    (rest.iter().rev().nth(hashes) == Some(&'"')).then_some(hashes)
}

fn raw_string(rest: &[char], hashes: usize) -> usize {
    let text: Vec<char> = rest.iter().rev().copied().collect();
    let opened = hashes + 1;
    for (place, next) in text.iter().enumerate().skip(opened) {
        let closing = text.iter().skip(place + 1).take(hashes);
        if *next == '"' && closing.filter(|next| **next == '#').count() == hashes {
            return place + 1 + hashes;
        }
    }
    text.len()
}

/// After a `'`: a character and not a lifetime.
fn is_character(rest: &[char]) -> bool {
    let mut next = rest.iter().rev();
    match next.next() {
        Some('\\') => true,
        Some(_) => next.next() == Some(&'\''),
        None => false,
    }
}

pub(crate) fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

#[cfg(test)]
mod tests {
    use super::code_only;

    fn check(source: &str, expect: &str) {
        let code = code_only(source);
        assert_eq!(code.chars().count(), source.chars().count(), "{source}");
        let squeezed: Vec<&str> = code.split_whitespace().collect();
        assert_eq!(squeezed.join(" "), expect, "{source}");
    }

    #[test]
    fn only_code_is_left() {
        check("a // b {\nc", "a c");
        check("a /* { /* } */ { */ c", "a c");
        check(r#"x("{\"}", y)"#, "x( , y)");
        check("r#\"{ \"} \"# z", "z");
        check("for 'a: { '{' '\\'' b }", "for 'a: { b }");
        check("fn var() { bar\"x\" }", "fn var() { bar }");
        check("let c = b'{'; &'a str", "let c = b ; &'a str");
    }
}
