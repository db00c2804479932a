//! JSON text into a byte buffer, without anything in between.

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends a JSON string. Non-ASCII stays as it is (UTF-8); quotes, backslashes and control characters are escaped.
pub(super) fn push_json_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    // Whole runs at a time: most strings need no escape at all.
    while let Some(place) = rest.iter().position(|byte| needs_escape(*byte)) {
        let (clean, tail) = rest.split_at(place);
        out.extend_from_slice(clean);
        let Some((byte, tail)) = tail.split_first() else {
            break;
        };
        push_escape(out, *byte);
        rest = tail;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

fn push_escape(out: &mut Vec<u8>, byte: u8) {
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        control => {
            out.extend_from_slice(b"\\u00");
            for nibble in [control >> 4, control & 15] {
                out.push(HEX.get(usize::from(nibble)).copied().unwrap_or(b'0'));
            }
        }
    }
}

/// Appends a whole number in decimal digits.
pub(super) fn push_number(out: &mut Vec<u8>, number: impl Into<i128>) {
    let number: i128 = number.into();
    if number < 0 {
        out.push(b'-');
    }
    let mut digits = [0u8; 40];
    let mut rest = u64::try_from(number.unsigned_abs()).unwrap_or(u64::MAX);
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(40 - used..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn strings_read_back_as_they_were() {
        for sample in [
            "",
            "plain",
            "\"\\\n\r\t\u{1}\u{1f}",
            "vär 😀\u{7f}",
            "end\\",
        ] {
            let json = text(|out| push_json_string(out, sample));
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), sample);
        }
    }

    #[test]
    fn numbers_print_their_digits() {
        assert_eq!(text(|out| push_number(out, u64::MAX)), u64::MAX.to_string());
        assert_eq!(text(|out| push_number(out, i64::MIN)), i64::MIN.to_string());
        assert_eq!(text(|out| push_number(out, 0u32)), "0");
    }
}
