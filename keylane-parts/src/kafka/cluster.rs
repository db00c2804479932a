//! What can be done to single nodes of a cluster, and to who leads which partition.

use super::probe::{KafkaPartition, seen};
use super::server::{Kafka, Node, READY_WITHIN, STOPPED_WITHIN, TOOL_HEAP_MB};
use crate::error::{IoContext, PartsError, Result};
use crate::install::run;
use crate::process::Process;
use crate::signal::{Signal, send_signal};
use crate::wait::wait_until;
use std::io::Write as _;

const REASSIGN_COMMAND: &str = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand";
const ELECTION_COMMAND: &str = "org.apache.kafka.tools.LeaderElectionCommand";

impl Kafka {
    /// SIGKILL to the node `id` (from 1); returns when it is gone. [`Kafka::restart`] brings it back.
    ///
    /// # Errors
    /// When there is no such node or it cannot be killed.
    pub fn kill9_node(&mut self, id: u32) -> Result<()> {
        self.node(id)?.kill9()
    }

    /// Orderly end of the node `id`, which hands over first what it leads; its data stays. [`Kafka::restart`] brings it back.
    ///
    /// # Errors
    /// When there is no such node, or it has to be killed after a minute, as one without a majority of controllers beside it.
    pub fn stop_node(&mut self, id: u32) -> Result<()> {
        match self.node(id)?.process.take() {
            Some(mut process) => process.stop(Signal::Terminate, STOPPED_WITHIN),
            None => Ok(()),
        }
    }

    /// Halts the node `id` in the middle of whatever it does. The others take it for lost 3 s later.
    ///
    /// # Errors
    /// When there is no such node or it does not run.
    pub fn halt_node(&mut self, id: u32) -> Result<()> {
        self.signal_node(id, Signal::Stop)
    }

    /// Lets a halted node go on. It is back when [`Kafka::await_in_sync`] says so.
    ///
    /// # Errors
    /// As [`Kafka::halt_node`].
    pub fn go_on_node(&mut self, id: u32) -> Result<()> {
        self.signal_node(id, Signal::Continue)
    }

    /// The partitions of all topics whose names begin so, as the first node that answers knows them.
    ///
    /// # Errors
    /// When no node answers.
    pub fn partitions(&self, topics_from: &str) -> Result<Vec<KafkaPartition>> {
        let told = self.nodes.iter().find_map(|node| seen(node.ports.broker));
        let no_answer = || PartsError::Invalid("no node of Kafka answers".to_owned());
        let mut partitions = told.ok_or_else(no_answer)?.partitions;
        partitions.retain(|partition| partition.topic.starts_with(topics_from));
        Ok(partitions)
    }

    /// The node that coordinates this consumer group: the one that leads the group's partition of the offsets' topic.
    ///
    /// # Errors
    /// When no node answers, or nobody has ever been in a group.
    pub fn coordinator(&self, group: &str) -> Result<u32> {
        let offsets = self.partitions("__consumer_offsets")?;
        // As Java hashes a text, and Kafka takes the amount of it.
        let hash = group.encode_utf16().fold(0_i32, |hash, unit| {
            hash.wrapping_mul(31).wrapping_add(i32::from(unit))
        });
        let count = u32::try_from(offsets.len()).unwrap_or(0);
        let number = hash
            .checked_abs()
            .unwrap_or(0)
            .unsigned_abs()
            .checked_rem(count);
        let found = offsets.iter().find(|it| Some(it.partition) == number);
        let leader = found.and_then(|it| it.leader);
        leader.ok_or_else(|| PartsError::Invalid(format!("nobody coordinates group {group}")))
    }

    /// Waits until each of these partitions has a leader and all its copies in sync: then any one node may go.
    ///
    /// # Errors
    /// When that takes longer than two minutes.
    pub fn await_in_sync(&self, topics_from: &str) -> Result<()> {
        let awaited = format!("all copies of {topics_from}… to be in sync");
        self.await_partitions(topics_from, &awaited, |partition| {
            partition.leader.is_some() && partition.in_sync.len() == partition.copies.len()
        })
    }

    /// Waits until the node `id` leads none of these partitions, and others do.
    ///
    /// # Errors
    /// When that takes longer than two minutes.
    pub fn await_led_by_others(&self, id: u32, topics_from: &str) -> Result<()> {
        let awaited = format!("others than node {id} to lead {topics_from}…");
        self.await_partitions(topics_from, &awaited, |partition| {
            partition.leader.is_some_and(|leader| leader != id)
        })
    }

    /// Gives each of these partitions the leader that stands next among its copies, by Kafka's own tools: another preference, then an election. All copies must be
    /// in sync. Returns when the new ones lead.
    ///
    /// # Errors
    /// With what a tool said, or when they do not lead within two minutes.
    pub fn move_leaders(&self, topics_from: &str) -> Result<()> {
        let mut wanted = self.partitions(topics_from)?;
        for partition in &mut wanted {
            let leader = partition.leader;
            let place = partition.copies.iter().position(|id| Some(*id) == leader);
            let length = partition.copies.len().max(1);
            partition
                .copies
                .rotate_left(place.map_or(0, |place| (place + 1) % length));
        }
        let mut file = tempfile::NamedTempFile::new()
            .doing("creating a file for a tool", std::env::temp_dir())?;
        file.write_all(reassignment(&wanted).as_bytes())
            .doing("writing a file for a tool", file.path())?;
        let mut reassign = self.java.run(REASSIGN_COMMAND, TOOL_HEAP_MB);
        reassign.args(["--bootstrap-server", &self.bootstrap(), "--execute"]);
        reassign.arg("--reassignment-json-file").arg(file.path());
        run("changing who leads by preference", &mut reassign)?;
        let mut elect = self.java.run(ELECTION_COMMAND, TOOL_HEAP_MB);
        elect.args(["--bootstrap-server", &self.bootstrap()]);
        elect.args(["--election-type", "preferred", "--all-topic-partitions"]);
        run("electing leaders", &mut elect)?;
        let awaited = format!("the next copies of {topics_from}… to lead");
        self.await_partitions(topics_from, &awaited, |partition| {
            let mut wanted = wanted.iter();
            wanted.any(|wanted| {
                let same = (&wanted.topic, wanted.partition);
                let first = wanted.copies.first().copied();
                same == (&partition.topic, partition.partition) && first == partition.leader
            })
        })
    }

    fn await_partitions(
        &self,
        topics_from: &str,
        awaited: &str,
        holds: impl Fn(&KafkaPartition) -> bool,
    ) -> Result<()> {
        wait_until(awaited, READY_WITHIN, || {
            // Of all that answer: one that was halted may still tell what was before.
            let told = self.nodes.iter().map(|node| seen(node.ports.broker));
            let told = told.flatten().flat_map(|seen| seen.partitions);
            let named = |partition: &KafkaPartition| partition.topic.starts_with(topics_from);
            let mut these = told.filter(named).peekable();
            Ok(these.peek().is_some() && these.all(|partition| holds(&partition)))
        })
    }

    fn signal_node(&mut self, id: u32, signal: Signal) -> Result<()> {
        let node = self.node(id)?;
        let pid = node.process.as_ref().map(Process::pid);
        let not_there = || PartsError::Invalid(format!("node {id} of Kafka does not run"));
        send_signal(pid.ok_or_else(not_there)?, signal).doing("signalling a node", &node.log)
    }

    fn node(&mut self, id: u32) -> Result<&mut Node> {
        let node = self.nodes.iter_mut().find(|node| node.ports.id == id);
        node.ok_or_else(|| PartsError::Invalid(format!("Kafka has no node {id}")))
    }
}

/// What the tool for reassignments reads.
fn reassignment(wanted: &[KafkaPartition]) -> String {
    let one = |partition: &KafkaPartition| {
        format!(
            r#"{{"topic":"{}","partition":{},"replicas":{:?}}}"#,
            partition.topic, partition.partition, partition.copies
        )
    };
    let all: Vec<String> = wanted.iter().map(one).collect();
    format!(r#"{{"version":1,"partitions":[{}]}}"#, all.join(","))
}
