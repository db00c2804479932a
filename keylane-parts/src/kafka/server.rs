//! A running Kafka: its nodes, their ports and folders, and what can be done to them.

use super::java::Java;
use super::node;
use super::options::{KafkaOptions, NodePorts};
use super::probe::brokers_seen;
use super::security::KafkaListener;
use crate::error::{IoContext, Result};
use crate::install::run;
use crate::ports::{PortLease, free_port};
use crate::process::Process;
use crate::signal::Signal;
use crate::work_dir::WorkDir;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(super) const READY_WITHIN: Duration = Duration::from_secs(120);
pub(super) const STOPPED_WITHIN: Duration = Duration::from_secs(60);
const ACL_COMMAND: &str = "org.apache.kafka.tools.AclCommand";
pub(super) const TOOL_HEAP_MB: u32 = 128;

/// Apache Kafka on loopback ports, in a temporary folder that goes with it. Topics are not created by themselves. Dropping it kills it.
#[derive(Debug)]
pub struct Kafka {
    pub(super) nodes: Vec<Node>,
    options: KafkaOptions,
    pub(super) java: Java,
    // After the nodes, so that the folder is removed when nobody writes into it.
    _dir: WorkDir,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) process: Option<Process>,
    pub(super) ports: NodePorts,
    properties: PathBuf,
    pub(super) log: PathBuf,
    _leases: [PortLease; 7],
}

impl Kafka {
    /// Starts one node.
    ///
    /// # Errors
    /// When Java or Maven are missing and cannot be installed, or the broker does not answer within two minutes.
    pub fn start() -> Result<Self> {
        Self::start_with(KafkaOptions::default())
    }

    /// Starts `nodes` nodes, each broker and controller, with as many replicas (up to 3) and `min.insync.replicas` 2.
    ///
    /// # Errors
    /// As [`Kafka::start`].
    pub fn start_cluster(nodes: u32) -> Result<Self> {
        Self::start_with(KafkaOptions::default().nodes(nodes))
    }

    /// Starts what `options` say.
    ///
    /// # Errors
    /// As [`Kafka::start`].
    pub fn start_with(options: KafkaOptions) -> Result<Self> {
        Self::launch(options, WorkDir::temporary("kafka")?)
    }

    /// Starts what `options` say, its files in `dir`, which stays.
    ///
    /// # Errors
    /// As [`Kafka::start`].
    pub fn start_in(options: KafkaOptions, dir: &Path) -> Result<Self> {
        Self::launch(options, WorkDir::named(dir)?)
    }

    fn launch(options: KafkaOptions, dir: WorkDir) -> Result<Self> {
        let plain = Java::of_kafka()?;
        // Slower without, but no worse.
        let java = plain.clone().with_archive(|writing| {
            let scratch = WorkDir::temporary("kafka-classes")?;
            Self::launch_with(writing, KafkaOptions::default(), scratch)?.stop()
        });
        Self::launch_with(java.unwrap_or(plain), options, dir)
    }

    fn launch_with(java: Java, options: KafkaOptions, dir: WorkDir) -> Result<Self> {
        let cluster_id = node::cluster_id()?;
        let mut leases = Vec::new();
        for id in 1..=options.nodes {
            let own = [
                free_port()?,
                free_port()?,
                free_port()?,
                free_port()?,
                free_port()?,
                free_port()?,
                free_port()?,
            ];
            let [broker, controller, gated, secured @ ..] = own.each_ref().map(PortLease::port);
            let ports = NodePorts {
                id,
                broker,
                controller,
                secured,
                gated,
            };
            leases.push((ports, own));
        }
        let all_ports: Vec<NodePorts> = leases.iter().map(|(ports, _)| *ports).collect();
        let mut nodes = Vec::new();
        for (ports, leases) in leases {
            let own = dir.path().join(format!("node-{}", ports.id));
            let data = own.join("data");
            std::fs::create_dir_all(&data).doing("creating a node's folder", &data)?;
            let properties = own.join("server.properties");
            let text = options.properties(ports.id, &all_ports, &own);
            std::fs::write(&properties, text).doing("writing server.properties", &properties)?;
            let mut further = Vec::new();
            if let Some(security) = &options.security {
                security.write_store(&own)?;
                further = security.format_arguments();
            }
            node::format(&java, &properties, &cluster_id, &further)?;
            nodes.push(Node {
                process: None,
                ports,
                properties,
                log: own.join("server.log"),
                _leases: leases,
            });
        }
        let mut kafka = Self {
            nodes,
            options,
            java,
            _dir: dir,
        };
        kafka.restart()?;
        Ok(kafka)
    }

    /// What clients connect to: `127.0.0.1:PORT`, for a cluster all of them with commas between. The same over restarts.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        let addresses: Vec<String> = self
            .nodes
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.ports.broker))
            .collect();
        addresses.join(",")
    }

    /// What clients of a secured listener connect to: `localhost:PORT,…`. See [`KafkaOptions::secured`].
    #[must_use]
    pub fn secured(&self, listener: KafkaListener) -> String {
        let place = KafkaListener::ALL.iter().position(|one| *one == listener);
        let ports = self.nodes.iter().map(|node| node.ports.secured);
        let ports = ports.filter_map(|ports| ports.get(place?).copied());
        let addresses: Vec<String> = ports.map(|port| format!("localhost:{port}")).collect();
        addresses.join(",")
    }

    /// Where the gate before the node `id` (from 1) leads to. See [`KafkaOptions::gated`].
    #[must_use]
    pub fn gated(&self, id: u32) -> Option<String> {
        let node = self.nodes.iter().find(|node| node.ports.id == id);
        node.map(|node| format!("127.0.0.1:{}", node.ports.gated))
    }

    /// Allows `principal` (`User:NAME`) what `words` say in the language of Kafka's own command, such as `--operation Write --topic t`.
    ///
    /// # Errors
    /// With what the command said.
    pub fn allow(&self, principal: &str, words: &[&str]) -> Result<()> {
        let mut command = self.java.run(ACL_COMMAND, TOOL_HEAP_MB);
        command.args(["--bootstrap-server", &self.bootstrap(), "--add"]);
        command.args(["--allow-principal", principal]).args(words);
        run("giving a right at Kafka", &mut command)?;
        Ok(())
    }

    /// The process ids of the nodes that run.
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        let running = self.nodes.iter().filter_map(|node| node.process.as_ref());
        running.map(Process::pid).collect()
    }

    /// SIGKILL to every node; returns when they are gone. Their data stays.
    ///
    /// # Errors
    /// When a process cannot be killed.
    pub fn kill9(&mut self) -> Result<()> {
        for node in &mut self.nodes {
            node.kill9()?;
        }
        Ok(())
    }

    /// Starts every node that does not run, on its old ports with its old data; returns when every broker sees all of them. None may be halted.
    ///
    /// # Errors
    /// When one does not answer within two minutes.
    pub fn restart(&mut self) -> Result<()> {
        let (java, heap_mb) = (&self.java, self.options.heap_mb);
        for node in &mut self.nodes {
            if !node.runs()? {
                let (properties, log) = (&node.properties, &node.log);
                node.process = Some(node::spawn(java, properties, heap_mb, log)?);
            }
        }
        let all = u32::try_from(self.nodes.len()).expect("a handful");
        for node in &mut self.nodes {
            let port = node.ports.broker;
            let awaited = format!("the broker on 127.0.0.1:{port} to answer and see {all} brokers");
            let process = node.process.as_mut().expect("started above");
            process.wait_ready(&awaited, READY_WITHIN, || brokers_seen(port) == Some(all))?;
        }
        Ok(())
    }

    /// Orderly end, node after node; the data stays until this value is dropped. Nodes that the controllers' majority has left cannot end in order and
    /// are killed: with three nodes, the last.
    ///
    /// # Errors
    /// When one that should end in order has to be killed after a minute.
    pub fn stop(&mut self) -> Result<()> {
        let majority = self.nodes.len() / 2 + 1;
        for left in (1..=self.nodes.len()).rev() {
            let node = self.nodes.iter_mut().find(|node| node.process.is_some());
            match node.and_then(|node| node.process.take()) {
                Some(mut process) if left < majority => process.kill9()?,
                Some(mut process) => process.stop(Signal::Terminate, STOPPED_WITHIN)?,
                None => {}
            }
        }
        Ok(())
    }

    /// Lets it go on after this process; its ids are returned, to end it by.
    ///
    /// # Errors
    /// When the guard that ends child processes cannot be told.
    pub fn detach(mut self) -> Result<Vec<u32>> {
        let pids = self.pids();
        for process in self
            .nodes
            .iter_mut()
            .filter_map(|node| node.process.as_mut())
        {
            process.detach()?;
        }
        Ok(pids)
    }

    /// The last lines of each node's log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let running = self.nodes.iter().filter_map(|node| node.process.as_ref());
        running
            .map(Process::log_tail)
            .collect::<Vec<_>>()
            .join("\n")
    }
}

impl Node {
    pub(super) fn kill9(&mut self) -> Result<()> {
        match self.process.take() {
            Some(mut process) => process.kill9(),
            None => Ok(()),
        }
    }

    fn runs(&mut self) -> Result<bool> {
        match &mut self.process {
            Some(process) => Ok(!process.has_ended()?),
            None => Ok(false),
        }
    }
}
