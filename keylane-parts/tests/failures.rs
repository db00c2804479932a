//! What a developer sees when a part does not start.

use keylane_parts::{
    Kafka, KafkaHandle, KafkaOptions, Postgres, PostgresOptions, PostgresVersion, Result, quick,
};

#[test]
fn a_server_that_does_not_start_shows_the_end_of_its_log() -> Result<()> {
    if quick() {
        return Ok(());
    }
    let options = PostgresOptions::new(PostgresVersion::V15).set("shared_buffers", "none");
    let error = Postgres::start(options).expect_err("the setting is wrong");
    let said = error.to_string();
    assert!(
        said.contains("to accept connections on 127.0.0.1:"),
        "{said}"
    );
    assert!(
        said.contains("invalid value for parameter \"shared_buffers\""),
        "{said}"
    );
    Ok(())
}

#[test]
fn a_broker_that_does_not_start_shows_the_end_of_its_log() -> Result<()> {
    if quick() {
        return Ok(());
    }
    let options = KafkaOptions::default().set("socket.request.max.bytes", 0);
    let error = Kafka::start_with(options).expect_err("the setting is wrong");
    let said = error.to_string();
    assert!(said.contains("socket.request.max.bytes"), "{said}");
    Ok(())
}

#[test]
fn a_failing_statement_says_what_postgres_said_and_not_the_password() -> Result<()> {
    if quick() {
        return Ok(());
    }
    let options = PostgresOptions::new(PostgresVersion::V15).password("s3cret");
    let postgres = Postgres::start(options)?;
    let error = postgres.psql("postgres", "select * from nowhere");
    let said = error.expect_err("there is no such table").to_string();
    assert!(
        said.contains("relation \"nowhere\" does not exist"),
        "{said}"
    );
    assert!(!said.contains("s3cret"), "{said}");
    Ok(())
}

#[test]
fn a_shared_broker_is_the_same_for_everyone_who_asks() -> Result<()> {
    if quick() {
        return Ok(());
    }
    let one = KafkaHandle::shared()?.bootstrap();
    let other = std::thread::spawn(|| KafkaHandle::shared().map(KafkaHandle::bootstrap));
    assert_eq!(other.join().expect("it does not panic")?, one);
    assert!(std::net::TcpStream::connect(one).is_ok());
    Ok(())
}
