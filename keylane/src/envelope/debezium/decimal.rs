//! Decimals as Kafka Connect writes them: the unscaled value's bytes (two's complement, most significant first) and a scale.

/// More digits than any database holds: a longer one is malformed.
const DIGITS_MAX: usize = 200_000;
const BILLION: u64 = 1_000_000_000;

/// The decimal's text; `None` if there is no byte or it is absurdly long.
pub(super) fn text(unscaled: &[u8], scale: i64) -> Option<String> {
    let negative = unscaled.first()? & 0x80 != 0;
    let scale_abs = usize::try_from(scale.unsigned_abs()).ok()?;
    if unscaled.len() > DIGITS_MAX / 2 || scale_abs > DIGITS_MAX {
        return None;
    }
    let mut digits = digits(&limbs(unscaled, negative));
    let zero = digits == "0";
    if scale < 0 && !zero {
        digits.extend(std::iter::repeat_n('0', scale_abs));
    }
    if scale > 0 {
        if digits.len() <= scale_abs {
            digits = format!("{digits:0>width$}", width = scale_abs + 1);
        }
        digits.insert(digits.len() - scale_abs, '.');
    }
    if negative {
        digits.insert(0, '-');
    }
    Some(digits)
}

/// The magnitude in base 2^32, most significant first.
fn limbs(bytes: &[u8], negative: bool) -> Vec<u32> {
    let fill = if negative { 0xff } else { 0 };
    let mut limbs: Vec<u32> = bytes
        .rchunks(4)
        .rev()
        .map(|chunk| {
            let pad = std::iter::repeat_n(fill, 4 - chunk.len());
            pad.chain(chunk.iter().copied())
                .fold(0u32, |limb, byte| limb << 8 | u32::from(byte))
        })
        .collect();
    if negative {
        let mut carry = true;
        for limb in limbs.iter_mut().rev() {
            let (sum, over) = (!*limb).overflowing_add(u32::from(carry));
            (*limb, carry) = (sum, over);
        }
        if carry {
            limbs.insert(0, 1);
        }
    }
    limbs
}

fn digits(limbs: &[u32]) -> String {
    let mut limbs = limbs.to_vec();
    let mut groups: Vec<u64> = Vec::new();
    let mut first = 0;
    while first < limbs.len() {
        let mut rest = 0u64;
        for limb in limbs.iter_mut().skip(first) {
            let value = rest << 32 | u64::from(*limb);
            *limb = (value / BILLION) as u32;
            rest = value % BILLION;
        }
        groups.push(rest);
        while limbs.get(first) == Some(&0) {
            first += 1;
        }
    }
    let mut text = groups.pop().unwrap_or(0).to_string();
    for group in groups.iter().rev() {
        text.push_str(&format!("{group:09}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn unscaled_bytes_read_as_decimals() {
        for (bytes, scale, expect) in [
            (&[0x7d][..], 2, "1.25"),
            (&[0xff], 6, "-0.000001"),
            (&[0x00], 0, "0"),
            (&[0x00], 2, "0.00"),
            (&[0x80], 0, "-128"),
            (&[0x64], -3, "100000"),
            (&[0x01, 0x5e], 2, "3.50"),
            (&[0xff, 0x00, 0x00, 0x00, 0x00], 0, "-4294967296"),
            (&[0x80, 0, 0, 0], 0, "-2147483648"),
            (
                &[0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                0,
                "340282366920938463463374607431768211456",
            ),
        ] {
            assert_eq!(text(bytes, scale).as_deref(), Some(expect));
        }
        assert_eq!(text(&[], 0), None);
        assert_eq!(text(&[1], i64::MAX), None);
    }

    #[test]
    fn every_i128_reads_as_its_own_digits() {
        let mut number: i128 = 1;
        for step in 0..200u32 {
            number = number
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(step.into());
            let shifted = number >> (step % 120);
            assert_eq!(text(&shifted.to_be_bytes(), 0), Some(shifted.to_string()));
        }
    }
}
