//! Kafka starts, dies and comes back.

use keylane_parts::{Kafka, Result, kafka_tool, quick, slow};

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

#[test]
fn a_cluster_s_leaders_move_by_election_and_away_from_a_node_that_halts_or_stops() -> Result<()> {
    if quick() || !slow() {
        return Ok(());
    }
    let mut kafka = Kafka::start_cluster(3)?;
    let mut create = kafka_tool("kafka-topics")?;
    create.args(["--bootstrap-server", &kafka.bootstrap(), "--create"]);
    create.args(["--topic", "moved", "--partitions", "3"]);
    assert!(create.output().is_ok_and(|output| output.status.success()));
    kafka.await_in_sync("moved")?;
    let leaders = |kafka: &Kafka| -> Result<Vec<Option<u32>>> {
        let partitions = kafka.partitions("moved")?;
        assert!(partitions.iter().all(|it| it.copies.len() == 3));
        Ok(partitions.iter().map(|it| it.leader).collect())
    };
    let before = leaders(&kafka)?;
    assert_eq!(before.len(), 3);
    kafka.move_leaders("moved")?;
    let moved = leaders(&kafka)?;
    let same = before.iter().zip(&moved).any(|(was, is)| was == is);
    assert!(!same, "{before:?} {moved:?}");
    kafka.halt_node(1)?;
    kafka.await_led_by_others(1, "moved")?;
    kafka.go_on_node(1)?;
    kafka.await_in_sync("moved")?;
    kafka.stop_node(2)?;
    kafka.await_led_by_others(2, "moved")?;
    kafka.restart()?;
    kafka.await_in_sync("moved")
}
