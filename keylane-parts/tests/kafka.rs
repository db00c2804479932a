//! Kafka starts, dies and comes back.

use keylane_parts::{Kafka, Result, quick};

#[test]
fn kafka_survives_kill_nine_and_answers_again_on_the_same_port() -> Result<()> {
    if quick() {
        return Ok(());
    }
    let mut kafka = Kafka::start()?;
    let before = kafka.bootstrap();
    kafka.kill9()?;
    assert!(kafka.pids().is_empty());
    assert!(std::net::TcpStream::connect(&before).is_err());
    kafka.restart()?;
    assert_eq!(kafka.bootstrap(), before);
    assert!(std::net::TcpStream::connect(&before).is_ok());
    kafka.stop()
}
