//! A Kafka with every kind of listener, and a road over one of them: it works, or is refused soon.

use std::sync::OnceLock;
use std::time::Duration;

use keylane_parts::{Authority, Kafka, KafkaListener, KafkaOptions};

use crate::site::Site;

pub const USER: &str = "keylane";
pub const PASSWORD: &str = "correct-horse";
/// The longest that a refusal may take: a person looks on.
const SOON: Duration = Duration::from_secs(15);

/// One Kafka for all these tests.
pub struct Bed {
    pub kafka: Kafka,
    #[cfg_attr(
        not(feature = "kafka-ssl"),
        expect(dead_code, reason = "it keeps the brokers' files")
    )]
    pub authority: Authority,
}

pub fn bed() -> Option<&'static Bed> {
    static BED: OnceLock<Bed> = OnceLock::new();
    if keylane_parts::quick() {
        eprintln!("left out: needs Kafka");
        return None;
    }
    Some(BED.get_or_init(|| {
        let authority = Authority::new("the brokers' authority").expect("openssl");
        let broker = authority.issue("broker", &["localhost"]).expect("openssl");
        let options = KafkaOptions::default().secured(&broker, &[(USER, PASSWORD)]);
        Bed {
            kafka: Kafka::start_with(options).expect("Kafka starts"),
            authority,
        }
    }))
}

/// A site whose log is this listener, reached with these properties; `prefix` keeps its topics apart.
pub fn site(bootstrap: &str, prefix: &str, properties: &[(&str, &str)]) -> Site {
    let site = Site::new();
    let lines: String = properties
        .iter()
        .map(|(name, value)| format!("      {name}: \"{value}\"\n"))
        .collect();
    let log = format!("log:\n  kafka:\n    bootstrap: {bootstrap}\n    properties:\n{lines}");
    let pipeline = site.sqlite_pipeline();
    site.configure(
        &log,
        &format!("{pipeline}\n    topics: {{ prefix: {prefix}, partitions: 2 }}"),
    );
    site
}

pub fn works(listener: KafkaListener, prefix: &str, properties: &[(&str, &str)]) {
    let Some(bed) = bed() else { return };
    let site = site(&bed.kafka.secured(listener), prefix, properties);
    assert_eq!(site.failed_checks(), []);
    site.catch_up();
    assert_eq!(site.replicated(), 2, "{properties:?}");
}

/// Every command that reaches for Kafka is refused soon, in these words.
pub fn refused(bootstrap: &str, properties: &[(&str, &str)], words: &[&str]) {
    let site = site(bootstrap, "refused", properties);
    let found = site.run(&["check", "--format", "json"]);
    assert_eq!(found.code, Some(3), "{}{}", found.stdout, found.stderr);
    let capture = site.run(&["run", "--only", "capture"]);
    assert!(
        capture.stderr.contains("KL-PUBLISH-001"),
        "{}",
        capture.stderr
    );
    let apply = site.run(&["run", "--only", "apply"]);
    assert!(apply.stderr.contains("KL-CONSUME-002"), "{}", apply.stderr);
    for ended in [&capture, &apply] {
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    }
    for (ended, told) in [
        (&found, &found.stdout),
        (&capture, &capture.stderr),
        (&apply, &apply.stderr),
    ] {
        assert!(ended.took < SOON, "{:?}: {told}", ended.took);
        for word in words {
            assert!(told.contains(word), "{word}: {told}");
        }
        assert!(
            !told.contains(PASSWORD) && !told.contains("wrong-horse"),
            "{told}"
        );
    }
}
