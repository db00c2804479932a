//! `keylane init` on PostgreSQL and Kafka: what it writes is taken by `check` and `run` as it is.

use std::os::unix::fs::PermissionsExt as _;

use keylane_parts::{Postgres, PostgresOptions, PostgresVersion};

use crate::bed::{Bed, left_out};

/// Everything but the address: two roads of two tests may run at once, and nobody here asks over HTTP.
fn silence(bed: &Bed) -> String {
    let text = std::fs::read_to_string(bed.config()).expect("init wrote it");
    std::fs::write(bed.config(), text.replace("127.0.0.1:7070", "off")).expect("it is written");
    text
}

fn succeeds(bed: &Bed, arguments: &[&str]) {
    let output = bed.run(arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {stderr}");
}

fn refused(bed: &Bed, arguments: &[&str], code: i32, words: &[&str]) {
    let output = bed.run(arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
    for word in words {
        assert!(stderr.contains(word), "{word} is not in: {stderr}");
    }
}

#[test]
fn what_init_finds_in_postgres_is_written_checked_and_run_as_it_is() {
    if left_out() {
        return;
    }
    let bed = Bed::bare("init_found");
    bed.origin_sql(
        "create schema \"Odd one\"; create table customers(id int primary key, v text); create table \"Odd one\".\"T\"(\"Id\" int primary key, v text);
         create table mute(v text); insert into customers values (1, 'a'); insert into \"Odd one\".\"T\" values (1, 'b')",
    );
    let (from, to) = (bed.origin_url(), bed.replica_url());
    let init = [
        "init", "--from", &from, "--to", &to, "--kafka", &bed.kafka, "--name", bed.name,
    ];
    let told = bed.json(&[&init[..], &["--format", "json"]].concat(), 0);
    assert_eq!(told["pipeline"], bed.name, "{told}");
    let tables = told["tables"].as_array().expect("a list");
    let left_out = |name: &str| {
        tables
            .iter()
            .find(|table| table["name"] == name)
            .map(|table| !table["left_out"].is_null())
    };
    assert_eq!(left_out("public.customers"), Some(false), "{told}");
    assert_eq!(left_out("Odd one.T"), Some(false), "{told}");
    assert_eq!(left_out("public.mute"), Some(true), "{told}");
    let written = silence(&bed);
    refused(&bed, &init, 2, &["keylane.yaml", "--force"]);
    succeeds(&bed, &["check"]);
    succeeds(&bed, &["run", "--until-caught-up"]);
    for (table, row) in [("customers", "1|a"), ("\"Odd one\".\"T\"", "1|b")] {
        assert_eq!(bed.replica_sql(&format!("select * from {table}")), row);
    }
    let forced = [&init[..], &["--force"]].concat();
    succeeds(&bed, &forced);
    assert_eq!(silence(&bed), written);
    let silent = std::fs::read_to_string(bed.config()).expect("it is there");
    refused(
        &bed,
        &[&forced[..], &["--tables", "public.customer"]].concat(),
        2,
        &["did you mean 'public.customers'?"],
    );
    let nobody = "postgres://postgres@127.0.0.1:1/shop";
    refused(
        &bed,
        &["init", "--force", "--from", nobody, "--to", &to],
        4,
        &["127.0.0.1:1"],
    );
    assert_eq!(
        std::fs::read_to_string(bed.config()).expect("it stays"),
        silent
    );
}

#[test]
fn a_password_that_init_was_given_is_in_a_file_of_its_owner_only_and_run_finds_it() {
    if left_out() {
        return;
    }
    const PASSWORD: &str = "hush-8e1c";
    let options = PostgresOptions::new(PostgresVersion::V15).password(PASSWORD);
    let server = Postgres::start(options).expect("PostgreSQL starts");
    for database in ["shop", "reports"] {
        server.create_database(database).expect("a database");
    }
    server
        .psql(
            "shop",
            "create table t(id int primary key); insert into t values (1)",
        )
        .expect("a table");
    let bed = Bed::bare("init_password");
    let (from, to) = (server.url("shop"), server.url("reports"));
    let init = [
        "init", "--from", &from, "--to", &to, "--kafka", &bed.kafka, "--name", bed.name,
    ];
    let output = bed.run(&init);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && !stderr.contains(PASSWORD),
        "{stderr}"
    );
    assert!(!silence(&bed).contains(PASSWORD));
    let secret = bed
        .folder
        .path()
        .join(".keylane/init_password-origin.password");
    let mode = std::fs::metadata(&secret)
        .expect("the secret's file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    succeeds(&bed, &["check"]);
    succeeds(&bed, &["run", "--until-caught-up"]);
    assert_eq!(
        server
            .psql("reports", "select * from t")
            .expect("it answers"),
        "1"
    );
}
