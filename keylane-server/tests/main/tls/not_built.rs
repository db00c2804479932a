//! A build without TLS to Kafka says so, and how to get one that has it.

use crate::site::Site;

fn check(properties: &str, refused: &str) {
    let site = Site::new();
    let pipeline = site.sqlite_pipeline();
    let log = format!(
        "log: {{ kafka: {{ bootstrap: 'localhost:9092', properties: {{ {properties} }} }} }}"
    );
    site.configure(&log, pipeline);
    for command in [&["run"][..], &["check", "--offline"], &["status"]] {
        let ended = site.run(command);
        assert_eq!(ended.code, Some(2), "{command:?}: {}", ended.stderr);
        for word in ["KL-CONFIG-021", refused, "--features kafka-ssl"] {
            assert!(ended.stderr.contains(word), "{command:?}: {}", ended.stderr);
        }
    }
}

#[test]
fn a_build_without_tls_to_kafka_refuses_it_and_names_the_feature() {
    check("security.protocol: ssl", "'security.protocol' asks for TLS");
    check(
        "security.protocol: SASL_SSL, sasl.mechanism: PLAIN",
        "'security.protocol' asks for TLS",
    );
    check(
        "security.protocol: sasl_plaintext, sasl.mechanism: SCRAM-SHA-512",
        "'sasl.mechanism' asks for SCRAM",
    );
    check(
        "ssl.ca.location: authority.pem",
        "'ssl.ca.location' is about TLS",
    );
}
