//! What is wrong with the properties that a person wrote, in words that never hold a value.
//!
//! librdkafka is built with what this build of Keylane asks for. What it lacks is refused here, with the way to get it, before librdkafka's own words for it.

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

/// Whether this build speaks TLS, and SCRAM, to Kafka.
pub const HAS_TLS: bool = cfg!(feature = "kafka-ssl");

/// How to get a build that speaks them.
const GET_TLS: &str = "build it in: cargo build --release --features kafka-ssl (or kafka-ssl-vendored), see docs/guides/security.md";
const MECHANISMS: &str = "set sasl.mechanism to PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512";

/// What kind of mistake a property is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PropertyFaultKind {
    /// No property has this name.
    Unknown,
    /// Its value cannot be used.
    BadValue,
    /// This build cannot do what it asks for.
    NotBuilt,
}

/// A property that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PropertyFault {
    /// Its name.
    pub name: String,
    /// What kind of mistake.
    pub kind: PropertyFaultKind,
    /// What is wrong, to stand behind the name.
    pub fault: String,
    /// What to do.
    pub remedy: String,
}

/// Everything that is wrong with these properties, in their order.
pub fn property_faults<'p>(
    properties: impl IntoIterator<Item = (&'p str, &'p str)> + Clone,
) -> Vec<PropertyFault> {
    let value_of = |names: &[&str]| {
        let mut all = properties.clone().into_iter();
        all.find_map(|(name, value)| names.contains(&name).then_some(value))
    };
    let protocol = value_of(&["security.protocol"]).unwrap_or("plaintext");
    let with_sasl = protocol.to_ascii_lowercase().starts_with("sasl_");
    let mechanism = value_of(&["sasl.mechanism", "sasl.mechanisms"]);
    let mut faults: Vec<PropertyFault> = properties
        .clone()
        .into_iter()
        .filter_map(|(name, value)| fault_of(name, value, with_sasl))
        .collect();
    if with_sasl && mechanism.is_none() {
        let fault = "asks for a login, and Kerberos (GSSAPI), which is the default for that, is not built in";
        faults.push(not_built("security.protocol", fault, MECHANISMS));
    }
    faults
}

fn fault_of(name: &str, value: &str, with_sasl: bool) -> Option<PropertyFault> {
    let word = value.to_ascii_lowercase();
    match name {
        "security.protocol" if !HAS_TLS && word.ends_with("ssl") => {
            let fault = "asks for TLS, which this build of Keylane does not speak to Kafka";
            return Some(not_built(name, fault, GET_TLS));
        }
        "sasl.mechanism" | "sasl.mechanisms" if with_sasl => match &*word {
            "plain" => {}
            "scram-sha-256" | "scram-sha-512" if HAS_TLS => {}
            "scram-sha-256" | "scram-sha-512" => {
                let fault = "asks for SCRAM, which this build of Keylane does not speak";
                return Some(not_built(name, fault, GET_TLS));
            }
            _ => {
                let fault = "asks for a way to log in that is not built in";
                return Some(not_built(name, fault, MECHANISMS));
            }
        },
        _ if !HAS_TLS && name.starts_with("ssl.") => {
            let fault = "is about TLS, which this build of Keylane does not speak to Kafka";
            return Some(not_built(name, fault, GET_TLS));
        }
        _ => {}
    }
    let tried = ClientConfig::new().set(name, value).create_native_config();
    tried.err().map(|error| mistake(name, &error))
}

fn not_built(name: &str, fault: &str, remedy: &str) -> PropertyFault {
    PropertyFault {
        name: name.to_owned(),
        kind: PropertyFaultKind::NotBuilt,
        fault: fault.to_owned(),
        remedy: remedy.to_owned(),
    }
}

/// librdkafka's own words may quote the value.
fn mistake(name: &str, error: &KafkaError) -> PropertyFault {
    let unknown = matches!(
        error,
        KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)
    );
    let list = "look it up in librdkafka's CONFIGURATION.md";
    let (kind, fault, remedy) = if unknown {
        (
            PropertyFaultKind::Unknown,
            "is no property of librdkafka",
            list,
        )
    } else {
        (
            PropertyFaultKind::BadValue,
            "has a value that librdkafka does not take",
            list,
        )
    };
    PropertyFault {
        name: name.to_owned(),
        kind,
        fault: fault.to_owned(),
        remedy: remedy.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(properties: &[(&str, &str)], expect: &[(&str, PropertyFaultKind)]) {
        let faults = property_faults(properties.iter().copied());
        let found: Vec<_> = faults
            .iter()
            .map(|fault| (&*fault.name, fault.kind))
            .collect();
        assert_eq!(found, expect, "{properties:?}");
        let told = format!("{faults:?}");
        assert!(!told.contains("hunter2"), "{told}");
    }

    #[test]
    fn a_misspelt_property_is_named_and_its_value_is_not() {
        check(
            &[("sasl.passwrod", "hunter2")],
            &[("sasl.passwrod", PropertyFaultKind::Unknown)],
        );
        check(
            &[("socket.timeout.ms", "hunter2")],
            &[("socket.timeout.ms", PropertyFaultKind::BadValue)],
        );
        check(
            &[("security.protocol", "hunter2")],
            &[("security.protocol", PropertyFaultKind::BadValue)],
        );
    }

    #[test]
    fn a_login_that_is_not_built_in_is_refused() {
        let plain = ("security.protocol", "SASL_PLAINTEXT");
        check(&[plain, ("sasl.mechanism", "PLAIN")], &[]);
        check(
            &[plain],
            &[("security.protocol", PropertyFaultKind::NotBuilt)],
        );
        for other in ["GSSAPI", "OAUTHBEARER"] {
            check(
                &[plain, ("sasl.mechanisms", other)],
                &[("sasl.mechanisms", PropertyFaultKind::NotBuilt)],
            );
        }
    }

    #[test]
    fn tls_and_scram_are_there_or_refused_with_the_feature_that_brings_them() {
        for (properties, refused) in [
            (&[("security.protocol", "ssl")][..], "security.protocol"),
            (
                &[
                    ("security.protocol", "SASL_SSL"),
                    ("sasl.mechanism", "PLAIN"),
                ],
                "security.protocol",
            ),
            (
                &[
                    ("security.protocol", "sasl_plaintext"),
                    ("sasl.mechanism", "SCRAM-SHA-512"),
                ],
                "sasl.mechanism",
            ),
            (&[("ssl.ca.location", "ca.pem")], "ssl.ca.location"),
        ] {
            let refusal = [(refused, PropertyFaultKind::NotBuilt)];
            check(properties, if HAS_TLS { &[] } else { &refusal });
            let faults = property_faults(properties.iter().copied());
            assert!(
                faults
                    .iter()
                    .all(|fault| fault.remedy.contains("--features kafka-ssl"))
            );
        }
    }
}
