//! Kafka starts, dies and comes back.

use keylane_parts::{Kafka, Result, quick, slow};

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

#[test]
fn a_cluster_goes_on_without_one_node_and_takes_it_back() -> Result<()> {
    if quick() || !slow() {
        return Ok(());
    }
    let mut kafka = Kafka::start_cluster(3)?;
    assert_eq!(kafka.bootstrap().split(',').count(), 3);
    kafka.kill9_node(2)?;
    assert_eq!(kafka.pids().len(), 2);
    kafka.restart()?;
    assert_eq!(kafka.pids().len(), 3);
    Ok(())
}
