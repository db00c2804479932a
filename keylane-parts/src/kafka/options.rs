//! How a Kafka is started: number of nodes, heap, server settings.

use super::security::Security;
use crate::authority::Certificate;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// What keeps rights at Kafka.
const AUTHORIZER: &str = "org.apache.kafka.metadata.authorizer.StandardAuthorizer";

/// What the listeners speak, where there are gates and no certificate.
const GATED: &str = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,GATED:PLAINTEXT";

/// How to start a [`Kafka`](crate::Kafka).
#[derive(Clone, Debug)]
pub struct KafkaOptions {
    pub(crate) nodes: u32,
    pub(crate) heap_mb: u32,
    pub(crate) settings: BTreeMap<String, String>,
    pub(crate) security: Option<Security>,
    pub(crate) gates: Vec<u16>,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self {
            nodes: 1,
            heap_mb: 512,
            settings: BTreeMap::new(),
            security: None,
            gates: Vec::new(),
        }
    }
}

impl KafkaOptions {
    /// How many nodes; topics get as many replicas by default, up to 3.
    #[must_use]
    pub fn nodes(mut self, nodes: u32) -> Self {
        self.nodes = nodes.max(1);
        self
    }

    /// The largest Java heap of each node, in MiB.
    #[must_use]
    pub fn heap_mb_max(mut self, heap_mb_max: u32) -> Self {
        self.heap_mb = heap_mb_max;
        self
    }

    /// One line of `server.properties`, over what is there by default.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl ToString) -> Self {
        self.settings.insert(name.to_owned(), value.to_string());
        self
    }

    /// Four more listeners under `certificate`, which is for `localhost`, and these users with their passwords. See [`Kafka::secured`](crate::Kafka::secured).
    #[must_use]
    pub fn secured(mut self, certificate: &Certificate, users: &[(&str, &str)]) -> Self {
        self.security = Some(Security::new(certificate, users));
        self
    }

    /// One more listener without TLS for each node, whose clients are sent to these ports of this machine, a node's each: what a test opens there and shuts again leads to [`Kafka::gated`](crate::Kafka::gated).
    #[must_use]
    pub fn gated(mut self, gates: &[u16]) -> Self {
        self.gates = gates.to_vec();
        self
    }

    /// Nobody may do anything without being allowed to, but whoever comes by the plain listener.
    #[must_use]
    pub fn with_rights(self) -> Self {
        self.set("authorizer.class.name", AUTHORIZER)
            .set("super.users", "User:ANONYMOUS")
    }

    pub(crate) fn replication(&self) -> u32 {
        self.nodes.min(3)
    }

    /// `server.properties` of node `id` (1-based), whose files are in `folder`.
    pub(crate) fn properties(&self, id: u32, ports: &[NodePorts], folder: &Path) -> String {
        let own = ports.iter().find(|ports| ports.id == id);
        let own = own.expect("the node's own ports are among the cluster's");
        let voters: Vec<String> = ports
            .iter()
            .map(|ports| format!("{}@127.0.0.1:{}", ports.id, ports.controller))
            .collect();
        let replication = self.replication();
        let in_sync = if replication > 1 { 2 } else { 1 };
        let mut lines: BTreeMap<String, String> = BTreeMap::new();
        let mut set = |name: &str, value: String| lines.insert(name.to_owned(), value);
        set("process.roles", "broker,controller".into());
        set("node.id", id.to_string());
        let mut listeners = format!(
            "PLAINTEXT://127.0.0.1:{},CONTROLLER://127.0.0.1:{}",
            own.broker, own.controller
        );
        let mut advertised = format!("PLAINTEXT://127.0.0.1:{}", own.broker);
        if let Some(security) = &self.security {
            security.listeners(own, &mut listeners, &mut advertised);
        }
        let place = ports.iter().position(|ports| ports.id == id);
        if let Some(gate) = place.and_then(|place| self.gates.get(place)) {
            let _ = write!(listeners, ",GATED://127.0.0.1:{}", own.gated);
            let _ = write!(advertised, ",GATED://127.0.0.1:{gate}");
            set("listener.security.protocol.map", GATED.into());
            set("inter.broker.listener.name", "PLAINTEXT".into());
        }
        set("listeners", listeners);
        set("advertised.listeners", advertised);
        set("controller.listener.names", "CONTROLLER".into());
        set("controller.quorum.voters", voters.join(","));
        set("log.dirs", folder.join("data").display().to_string());
        set("auto.create.topics.enable", "false".into());
        // Groups form at once, and members may choose short sessions: tests wait for both.
        set("group.initial.rebalance.delay.ms", "0".into());
        set("group.min.session.timeout.ms", "1000".into());
        set("group.consumer.min.session.timeout.ms", "1000".into());
        set("group.consumer.min.heartbeat.interval.ms", "200".into());
        // The internal topics have 50 partitions by default; creating those takes longer than most tests.
        set("offsets.topic.num.partitions", "4".into());
        set("transaction.state.log.num.partitions", "4".into());
        set("share.coordinator.state.topic.num.partitions", "4".into());
        for topic in [
            "offsets.topic",
            "transaction.state.log",
            "share.coordinator.state.topic",
        ] {
            set(
                &format!("{topic}.replication.factor"),
                replication.to_string(),
            );
        }
        set("transaction.state.log.min.isr", in_sync.to_string());
        set("share.coordinator.state.topic.min.isr", in_sync.to_string());
        set("default.replication.factor", replication.to_string());
        set("min.insync.replicas", in_sync.to_string());
        // A broker that was killed is let back in only when its former session has run out.
        set("broker.session.timeout.ms", "3000".into());
        set("broker.heartbeat.interval.ms", "500".into());
        if let Some(security) = &self.security {
            lines.extend(security.settings(folder));
        }
        lines.extend(self.settings.clone());
        lines
            .iter()
            .map(|(name, value)| format!("{name}={value}\n"))
            .collect()
    }
}

/// Where one node listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NodePorts {
    pub(crate) id: u32,
    pub(crate) broker: u16,
    pub(crate) controller: u16,
    /// Those of the secured listeners, in the order of `KafkaListener::ALL`.
    pub(crate) secured: [u16; 4],
    /// That of the listener behind a gate.
    pub(crate) gated: u16,
}
