//! What `init` writes: a configuration that loads, and no secret in it.

use keylane_core::apply::Threads;
use std::fs;
use std::path::Path;

use keylane_server::config::{
    Code, Config, InitAnswers, InitTable, Log, Origin, PipelineName, Replica, Secret,
};

use crate::config::{pipeline, variable};

fn answers(origin: &str, replica: &str) -> InitAnswers {
    InitAnswers {
        pipeline: PipelineName::new("shop-1").expect("a legal name"),
        origin: Secret::new(origin),
        replica: Some(Secret::new(replica)),
        events: Vec::new(),
        kafka_bootstrap: None,
        tables: Vec::new(),
    }
}

fn load_template(answers: &InitAnswers) -> (String, Config) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("keylane.yaml");
    let template = Config::template(answers).expect("the answers are legal");
    fs::write(&path, &template.text).expect("the file is written");
    template
        .write_secrets(dir.path())
        .expect("the secrets are written");
    let config = Config::load_with(&path, &variable).expect("what init writes loads");
    (template.text, config)
}

#[test]
fn what_init_writes_loads_and_holds_no_password() {
    let mut answers = answers(
        "postgres://app:hunter2%40x@db:5433/shop?sslmode=require",
        "sqlite:data/my replica $$.db",
    );
    answers.kafka_bootstrap = Some("a:9092,b:9092".to_owned());
    answers.tables = vec![
        InitTable {
            name: "public.orders".to_owned(),
            comment: "key (id), about 12,034 rows".to_owned(),
        },
        InitTable {
            name: "public.$odd name".to_owned(),
            comment: "no key\nhttp: evil".to_owned(),
        },
        InitTable {
            name: "billing.*".to_owned(),
            comment: String::new(),
        },
    ];
    let (text, config) = load_template(&answers);
    assert!(!text.contains("hunter2"), "{text}");
    assert!(
        text.contains("password: file:.keylane/shop-1-origin.password"),
        "{text}"
    );
    assert!(
        text.contains("- public.orders   # key (id), about 12,034 rows"),
        "{text}"
    );
    let shop = pipeline(&config, "shop-1");
    let Some(Origin::Postgres(origin)) = &shop.origin else {
        panic!("the origin is PostgreSQL");
    };
    assert_eq!(
        origin.url.expose(),
        "postgres://app:hunter2%40x@db:5433/shop?sslmode=require"
    );
    assert_eq!(origin.slot, "keylane_shop_1");
    let Some(Replica::Sqlite { path }) = &shop.replica else {
        panic!("the replica is SQLite");
    };
    assert!(
        path.ends_with("data/my replica $$.db"),
        "{}",
        path.display()
    );
    assert!(shop.carries(Some("public"), "$odd name"));
    assert!(matches!(&config.log, Log::Kafka(kafka) if kafka.bootstrap.len() == 2));
}

#[test]
fn what_init_writes_for_two_files_needs_nothing_else() {
    let (_, config) = load_template(&answers("sqlite:origin.db", "sqlite:replica.db"));
    assert!(matches!(&config.log, Log::Embedded(log) if log.path.ends_with(".keylane/log.db")));
    assert_eq!(
        pipeline(&config, "shop-1").apply.threads,
        Threads::Number(4)
    );
}

#[test]
fn the_keys_that_init_writes_as_comments_load_when_they_are_uncommented() {
    for kafka in [None, Some("a:9092".to_owned())] {
        let mut answers = answers("postgres://app@db/shop", "sqlite:r.db");
        answers.kafka_bootstrap = kafka;
        answers.tables = vec![InitTable {
            name: "public.order_items".to_owned(),
            comment: String::new(),
        }];
        let text = Config::template(&answers)
            .expect("the answers are legal")
            .text;
        let uncommented: String = text
            .lines()
            .map(|line| match line.split_once("# ") {
                Some((indent, key)) if !indent.is_empty() && indent.trim().is_empty() => {
                    format!("{indent}{}\n", key.trim_end())
                }
                _ => format!("{line}\n"),
            })
            .collect();
        assert_ne!(uncommented, text);
        let lookup = |_: &str| Some("hunter2".to_owned());
        let mut uncommented = uncommented;
        if !keylane::kafka::HAS_TLS {
            // The comment beside it names the feature; a build without it refuses the line.
            uncommented = uncommented.replace("SASL_SSL", "SASL_PLAINTEXT");
            uncommented = uncommented.replace("SCRAM-SHA-512", "PLAIN");
        }
        Config::parse(&uncommented, Path::new("keylane.yaml"), &lookup)
            .expect("the comments are right");
    }
}

#[test]
fn init_keeps_a_reference_in_a_url() {
    let url = "postgres://app:${TEST_PASSWORD}@db/shop";
    let (text, config) = load_template(&answers(url, "postgresql://app@db/replica"));
    assert!(text.contains(&format!("url: {url}")), "{text}");
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn a_secret_file_is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let answers = answers("postgres://app:hunter2@db/shop", "sqlite:r.db");
    let template = Config::template(&answers).expect("the answers are legal");
    template
        .write_secrets(dir.path())
        .expect("the secrets are written");
    let path = dir.path().join(&template.secrets[0].path);
    let mode = fs::metadata(path)
        .expect("the secret is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(dir.path().join(".keylane/.gitignore").exists());
}

#[test]
fn init_refuses_what_it_cannot_write_without_showing_it() {
    for url in [
        "mysql://a:hunter2@b/c",
        "hunter2",
        "postgres://a:hunter2@b",
        "postgres://a:hunt/er2@b/c",
        "sqlite:",
    ] {
        let error =
            Config::template(&answers(url, "sqlite:r.db")).expect_err("not a URL for Keylane");
        assert_eq!(error.code(), Code::Url, "{url}");
        assert!(!error.to_string().contains("hunt"), "{error}");
    }
}
