//! The road over a Kafka that speaks TLS, with client certificates and with logins.

use std::path::Path;

use keylane_parts::{Authority, KafkaListener};

use super::broker::{PASSWORD, USER, bed, refused, site, works};

fn show(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn the_road_goes_over_tls() {
    let Some(bed) = bed() else { return };
    works(
        KafkaListener::Tls,
        "tls",
        &[
            ("security.protocol", "ssl"),
            ("ssl.ca.location", &show(&bed.authority.certificate())),
        ],
    );
}

#[test]
fn the_road_goes_over_tls_with_a_client_certificate() {
    let Some(bed) = bed() else { return };
    let client = bed.authority.issue("client", &[]).expect("openssl");
    works(
        KafkaListener::MutualTls,
        "mtls",
        &[
            ("security.protocol", "ssl"),
            ("ssl.ca.location", &show(&bed.authority.certificate())),
            ("ssl.certificate.location", &show(&client.certificate)),
            ("ssl.key.location", &show(&client.key)),
        ],
    );
    // As texts, which may come from files.
    works(
        KafkaListener::MutualTls,
        "mtls-texts",
        &[
            ("security.protocol", "ssl"),
            (
                "ssl.ca.pem",
                &format!("file:{}", show(&bed.authority.certificate())),
            ),
            (
                "ssl.certificate.pem",
                &format!("file:{}", show(&client.certificate)),
            ),
            ("ssl.key.pem", &format!("file:{}", show(&client.key))),
        ],
    );
}

#[test]
fn the_road_goes_over_tls_with_a_login() {
    let Some(bed) = bed() else { return };
    for (mechanism, prefix) in [
        ("SCRAM-SHA-512", "scram512"),
        ("SCRAM-SHA-256", "scram256"),
        ("PLAIN", "plain"),
    ] {
        works(
            KafkaListener::Login,
            prefix,
            &[
                ("security.protocol", "SASL_SSL"),
                ("ssl.ca.location", &show(&bed.authority.certificate())),
                ("sasl.mechanism", mechanism),
                ("sasl.username", USER),
                ("sasl.password", PASSWORD),
            ],
        );
    }
}

#[test]
fn a_path_among_the_properties_starts_at_the_configuration() {
    let Some(bed) = bed() else { return };
    let site = site(
        &bed.kafka.secured(KafkaListener::Tls),
        "paths",
        &[
            ("security.protocol", "ssl"),
            ("ssl.ca.location", "trusted/ca.pem"),
        ],
    );
    std::fs::create_dir(site.path("trusted")).expect("a folder");
    std::fs::copy(bed.authority.certificate(), site.path("trusted/ca.pem")).expect("a copy");
    let mut elsewhere = site.command(&["check", "--config"]);
    elsewhere.arg(site.path("keylane.yaml")).current_dir("/");
    let ended = site.run_prepared(elsewhere);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
}

#[test]
fn a_broker_that_is_not_trusted_is_refused_soon() {
    let Some(bed) = bed() else { return };
    let stranger = Authority::new("another authority").expect("openssl");
    let trusting = |authority: &Authority| show(&authority.certificate());
    let tls = bed.kafka.secured(KafkaListener::Tls);
    refused(
        &tls,
        &[
            ("security.protocol", "ssl"),
            ("ssl.ca.location", &trusting(&stranger)),
        ],
        &["not of an authority that ssl.ca.location names"],
    );
    // The certificate is the host name's, not the address's.
    refused(
        &tls.replace("localhost", "127.0.0.1"),
        &[
            ("security.protocol", "ssl"),
            ("ssl.ca.location", &trusting(&bed.authority)),
        ],
        &["not for this host name"],
    );
}

#[test]
fn a_client_that_is_not_let_in_is_told_soon() {
    let Some(bed) = bed() else { return };
    let authority = show(&bed.authority.certificate());
    let trust = ("ssl.ca.location", &*authority);
    let login = bed.kafka.secured(KafkaListener::Login);
    for mechanism in ["SCRAM-SHA-512", "PLAIN"] {
        let properties = [
            ("security.protocol", "sasl_ssl"),
            trust,
            ("sasl.mechanism", mechanism),
            ("sasl.username", USER),
            ("sasl.password", "wrong-horse"),
        ];
        refused(&login, &properties, &["Authentication failed"]);
    }
    let mutual = bed.kafka.secured(KafkaListener::MutualTls);
    let stranger = Authority::new("another authority").expect("openssl");
    let strange = stranger.issue("client", &[]).expect("openssl");
    refused(
        &mutual,
        &[("security.protocol", "ssl"), trust],
        &["the broker asks for a certificate"],
    );
    refused(
        &mutual,
        &[
            ("security.protocol", "ssl"),
            trust,
            ("ssl.certificate.location", &show(&strange.certificate)),
            ("ssl.key.location", &show(&strange.key)),
        ],
        &["the broker asks for a certificate"],
    );
}

#[test]
fn a_plain_listener_is_told_to_a_client_under_tls() {
    let Some(bed) = bed() else { return };
    let authority = show(&bed.authority.certificate());
    let tls = [
        ("security.protocol", "ssl"),
        ("ssl.ca.location", &*authority),
    ];
    let plain = bed.kafka.bootstrap();
    let failed = site(&plain, "kinds", &tls).failed_checks();
    let told = failed
        .iter()
        .any(|(id, found)| id == "log.reachable" && found.contains("SSL handshake failed"));
    assert!(told, "{failed:?}");
}
