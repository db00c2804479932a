//! What a client says about its connections while nobody asks: kept, so that an error can tell the cause and not only the time-out.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// Remembers the last thing a client complained of.
#[derive(Debug, Default)]
pub(super) struct Watch {
    last: Mutex<Option<Complaint>>,
}

#[derive(Debug)]
struct Complaint {
    reason: String,
    /// What that means, before the library's own words; empty if they are plain enough.
    meaning: &'static str,
    /// If one side turned the other down: trying again does not help.
    refusal: Option<Code>,
}

impl Complaint {
    fn new(code: Option<Code>, reason: &str) -> Self {
        // Under TLS 1.3 a broker that wants a certificate says so only after the handshake, as any failed read.
        let wants_certificate = reason.contains("alert") && reason.contains("certificate");
        let meaning = if reason.contains("certificate verify failed") {
            ": the broker's certificate is not of an authority that ssl.ca.location names, or not for this host name"
        } else if wants_certificate {
            ": the broker asks for a certificate of an authority that it trusts (ssl.certificate.location, ssl.key.location)"
        } else if hangs_up_at_once(reason) {
            ": the broker hangs up at the first word; security.protocol may not be that of its listener"
        } else {
            ""
        };
        let refusal = match code {
            Some(Code::Authentication | Code::SSL | Code::SaslAuthenticationFailed) => code,
            Some(_) if wants_certificate => Some(Code::SSL),
            _ => None,
        };
        Complaint {
            reason: reason.to_owned(),
            meaning,
            refusal,
        }
    }
}

/// "Disconnected: … (after 3ms in state UP)": what a listener does that expects TLS, or a login, and gets neither.
fn hangs_up_at_once(reason: &str) -> bool {
    let after = reason.rsplit_once("(after ").map_or("", |(_, after)| after);
    let (ms, state) = after.split_once("ms in state ").unwrap_or_default();
    let at_once = ms.parse::<u32>().is_ok_and(|ms| ms < 2_000);
    let up = state.starts_with("UP") || state.starts_with("APIVERSION_QUERY");
    reason.contains("Disconnected") && at_once && up
}

impl Watch {
    /// The last complaint, to stand behind an error's own text.
    pub(super) fn cause(&self) -> String {
        self.last().as_ref().map_or_else(String::new, |last| {
            format!("{} ({})", last.meaning, last.reason)
        })
    }

    /// Whether the last complaint was that one side refuses the other: a wrong password, a certificate that is not trusted.
    pub(super) fn refusal(&self) -> Option<Code> {
        let last = self.last();
        last.as_ref().and_then(|last| last.refusal)
    }

    /// A question was answered: whatever was complained of is over.
    pub(super) fn answered(&self) {
        *self.last() = None;
    }

    fn last(&self) -> MutexGuard<'_, Option<Complaint>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Watch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", ?level, facility, "{message}");
        // A broker that hangs up is only logged.
        if facility == "FAIL" {
            let (_thread, reason) = message.split_once("]: ").unwrap_or(("", message));
            *self.last() = Some(Complaint::new(None, reason));
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        if code == Some(Code::PartitionEOF) {
            return;
        }
        tracing::debug!(target: "librdkafka", "{error}: {reason}");
        // Said of every outage, after what caused it.
        if code == Some(Code::AllBrokersDown) && self.last().is_some() {
            return;
        }
        *self.last() = Some(Complaint::new(code, reason));
    }
}

impl ConsumerContext for Watch {}
