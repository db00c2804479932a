//! What every build can do at a Kafka that asks for more than the plain protocol: log in with a password, and say what is wrong.

use keylane_parts::KafkaListener;

use super::broker::{PASSWORD, USER, bed, refused, site, works};

fn login(password: &str) -> [(&str, &str); 4] {
    [
        ("security.protocol", "sasl_plaintext"),
        ("sasl.mechanism", "PLAIN"),
        ("sasl.username", USER),
        ("sasl.password", password),
    ]
}

#[test]
fn the_road_logs_in_at_kafka_with_a_password() {
    works(KafkaListener::ClearLogin, "clear", &login(PASSWORD));
}

#[test]
fn a_wrong_password_at_kafka_is_told_soon() {
    let Some(bed) = bed() else { return };
    let listener = bed.kafka.secured(KafkaListener::ClearLogin);
    refused(&listener, &login("wrong-horse"), &["Authentication failed"]);
}

#[test]
fn a_kafka_listener_of_another_kind_is_told_by_check() {
    let Some(bed) = bed() else { return };
    for listener in [KafkaListener::Tls, KafkaListener::ClearLogin] {
        let failed = site(&bed.kafka.secured(listener), "kinds", &[]).failed_checks();
        let word = "security.protocol may not be that of its listener";
        let told = failed
            .iter()
            .any(|(id, found)| id == "log.reachable" && found.contains(word));
        assert!(told, "{listener:?}: {failed:?}");
    }
}
