//! The signature of a body: HMAC-SHA256 over the time and the body, so that nobody else's message is taken, nor an old one again.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The header that holds it.
pub const SIGNATURE_HEADER: &str = "keylane-signature";

/// `t=SECONDS,v1=HEX`: HEX is HMAC-SHA256, by the secret's bytes, of `SECONDS.BODY`.
pub fn signature(secret: &str, at_s: i64, body: &[u8]) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(format!("{at_s}.").as_bytes());
    mac.update(body);
    let mut text = format!("t={at_s},v1=");
    for byte in mac.finalize().into_bytes() {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of `docs/stages/6-notify.md`, made with OpenSSL.
    #[test]
    fn a_signature_is_what_the_documentation_says() {
        let made = signature(
            "whsec-of-the-docs",
            1_795_770_000,
            br#"{"specversion":"1.0"}"#,
        );
        assert_eq!(
            made,
            "t=1795770000,v1=e786fe852aa2eb2d5dc102f7985ee7c695cc9dee76067687690cb1332998b206"
        );
    }
}
