//! Listeners beside the plain one: TLS, TLS with client certificates, TLS with a login; and who may do what.

use super::options::NodePorts;
use crate::authority::Certificate;
use crate::error::{IoContext, Result};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// A listener that is not the plain one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KafkaListener {
    /// TLS; clients may be anyone.
    Tls,
    /// TLS; clients show a certificate of the same authority, and are called by its subject (`User:CN=…`).
    MutualTls,
    /// TLS; clients log in with a password: SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN.
    Login,
    /// The same without TLS.
    ClearLogin,
}

impl KafkaListener {
    pub(crate) const ALL: [Self; 4] = [Self::Tls, Self::MutualTls, Self::Login, Self::ClearLogin];

    fn name(self) -> &'static str {
        match self {
            Self::Tls => "TLS",
            Self::MutualTls => "MTLS",
            Self::Login => "LOGIN",
            Self::ClearLogin => "CLEAR",
        }
    }
}

/// Who brokers are and whom they trust.
#[derive(Clone, Debug)]
pub(crate) struct Security {
    certificate: Certificate,
    /// Users with their passwords.
    users: Vec<(String, String)>,
}

impl Security {
    pub(crate) fn new(certificate: &Certificate, users: &[(&str, &str)]) -> Self {
        let owned = |(name, password): &(&str, &str)| ((*name).to_owned(), (*password).to_owned());
        Self {
            certificate: certificate.clone(),
            users: users.iter().map(owned).collect(),
        }
    }

    /// Writes the key store into a node's folder: Kafka takes key and certificate in one file.
    pub(crate) fn write_store(&self, folder: &Path) -> Result<()> {
        let mut store = String::new();
        for path in [&self.certificate.key, &self.certificate.certificate] {
            store.push_str(&std::fs::read_to_string(path).doing("reading a certificate", path)?);
        }
        let path = store_in(folder);
        std::fs::write(&path, store).doing("writing a key store", &path)
    }

    /// Adds the listeners to a node's `listeners` and `advertised.listeners`. Clients are sent to `localhost`.
    pub(crate) fn listeners(
        &self,
        ports: &NodePorts,
        listeners: &mut String,
        advertised: &mut String,
    ) {
        for (listener, port) in KafkaListener::ALL.iter().zip(ports.secured) {
            let name = listener.name();
            let _ = write!(listeners, ",{name}://127.0.0.1:{port}");
            let _ = write!(advertised, ",{name}://localhost:{port}");
        }
    }

    /// The other settings, as they stand in `server.properties`.
    pub(crate) fn settings(&self, folder: &Path) -> Vec<(String, String)> {
        let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
        let mut plain =
            "org.apache.kafka.common.security.plain.PlainLoginModule required".to_owned();
        for (name, password) in &self.users {
            let _ = write!(plain, " user_{name}=\"{password}\"");
        }
        plain.push(';');
        let store = store_in(folder).display().to_string();
        let mut settings: Vec<(String, String)> = [
            (
                "listener.security.protocol.map",
                "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,GATED:PLAINTEXT,TLS:SSL,MTLS:SSL,LOGIN:SASL_SSL,CLEAR:SASL_PLAINTEXT",
            ),
            ("inter.broker.listener.name", "PLAINTEXT"),
            ("ssl.keystore.type", "PEM"),
            ("ssl.keystore.location", &store),
            ("ssl.truststore.type", "PEM"),
            (
                "ssl.truststore.location",
                &self.certificate.authority.display().to_string(),
            ),
            ("listener.name.mtls.ssl.client.auth", "required"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        for listener in ["login", "clear"] {
            for (name, value) in [
                (
                    "sasl.enabled.mechanisms",
                    "SCRAM-SHA-512,SCRAM-SHA-256,PLAIN",
                ),
                ("scram-sha-512.sasl.jaas.config", scram),
                ("scram-sha-256.sasl.jaas.config", scram),
                ("plain.sasl.jaas.config", &plain),
            ] {
                settings.push((format!("listener.name.{listener}.{name}"), value.to_owned()));
            }
        }
        settings
    }

    /// What formatting a node's folder takes beside the usual: its users, as SCRAM keeps them.
    pub(crate) fn format_arguments(&self) -> Vec<String> {
        let user = |mechanism: &str, (name, password): &(String, String)| {
            [
                "--add-scram".to_owned(),
                format!("{mechanism}=[name={name},password={password}]"),
            ]
        };
        let mechanisms = ["SCRAM-SHA-512", "SCRAM-SHA-256"];
        mechanisms
            .iter()
            .flat_map(|mechanism| self.users.iter().flat_map(move |one| user(mechanism, one)))
            .collect()
    }
}

fn store_in(folder: &Path) -> PathBuf {
    folder.join("broker.pem")
}
