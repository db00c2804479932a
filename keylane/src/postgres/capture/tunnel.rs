//! A way to the server for one replication connection, under TLS of ours.
//!
//! `verify-ca` checks who issued the server's certificate and leaves the host name alone. The replication transport checks the name all the same, so for this mode it
//! connects to a Unix socket, in a folder that only this user can enter, and its bytes go on from there.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::time::Duration;

use keylane_core::capture::OriginError;
use rand::Rng as _;
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional_with_sizes};
use tokio::net::{TcpStream, UnixListener};
use tokio::task::JoinHandle;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::{code, refused, unreachable};
use crate::postgres::tls::{TlsAsked, refusal};

type Encrypted = <MakeRustlsConnect as MakeTlsConnect<TcpStream>>::Stream;

/// What a client sends to ask for TLS: its length, and the number that means so.
const ASK_FOR_TLS: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Bytes on their way, in each direction.
const BUFFER_BYTES: usize = 64 << 10;

/// A socket whose first connection goes on to the server. Its folder goes with this value; the connection, once made, stays.
pub(super) struct Tunnel {
    folder: PathBuf,
    shown: String,
    /// Until the transport has connected.
    awaiting: JoinHandle<()>,
}

impl Tunnel {
    /// Connects to the server, and waits for the transport.
    ///
    /// # Errors
    /// If the server is not reached or its certificate not trusted.
    pub(super) async fn open(host: &str, port: u16, asked: &TlsAsked) -> Result<Self, OriginError> {
        let unusable =
            |why: String| refused(code::CONFIGURATION, format!("the origin's URL: {why}"));
        let tls = asked.client_config().map_err(unusable)?;
        let tls = tls.ok_or_else(|| unusable("it asks for no TLS".to_owned()))?;
        let reached = tokio::time::timeout(CONNECT_WITHIN, reach(host, port, tls)).await;
        let mut server = reached.unwrap_or_else(|_| {
            Err(unreachable(format!(
                "{host}:{port} did not answer within {CONNECT_WITHIN:?}"
            )))
        })?;
        let name = format!("keylane-{:016x}", rand::rng().random::<u64>());
        let folder = std::env::temp_dir().join(name);
        let failed = |error: std::io::Error| {
            let message = format!("making a socket in {}: {error}", folder.display());
            unreachable(message)
        };
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .map_err(failed)?;
        let listener =
            UnixListener::bind(folder.join(format!(".s.PGSQL.{port}"))).map_err(failed)?;
        let awaiting = tokio::spawn(async move {
            let Ok((mut transport, _)) = listener.accept().await else {
                return;
            };
            // Of its own, so that it outlives the tunnel's folder; it ends with either side.
            tokio::spawn(async move {
                let (one, other) = (&mut transport, &mut server);
                let ended =
                    copy_bidirectional_with_sizes(one, other, BUFFER_BYTES, BUFFER_BYTES).await;
                tracing::debug!(?ended, "a replication connection under TLS ended");
            });
        });
        Ok(Tunnel {
            shown: folder.to_string_lossy().into_owned(),
            folder,
            awaiting,
        })
    }

    /// What the transport takes for the host.
    pub(super) fn folder(&self) -> &str {
        &self.shown
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.awaiting.abort();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A connection to the server on which TLS was agreed.
async fn reach(host: &str, port: u16, tls: ClientConfig) -> Result<Encrypted, OriginError> {
    let failed =
        |what: &str, error: &std::io::Error| unreachable(format!("{host}:{port}: {what}: {error}"));
    let mut stream = TcpStream::connect((host, port))
        .await
        .map_err(|error| failed("connecting", &error))?;
    stream
        .set_nodelay(true)
        .map_err(|error| failed("connecting", &error))?;
    let mut answer = [0];
    let asked = async {
        stream.write_all(&ASK_FOR_TLS).await?;
        stream.read_exact(&mut answer).await
    };
    asked
        .await
        .map_err(|error| failed("asking for TLS", &error))?;
    if answer != *b"S" {
        let message = format!("{host}:{port}: the server does not support TLS");
        return Err(refused(code::RIGHTS, message));
    }
    let mut connect = MakeRustlsConnect::new(tls);
    let connect = MakeTlsConnect::<TcpStream>::make_tls_connect(&mut connect, host);
    let connect = connect.map_err(|error| {
        refused(
            code::CONFIGURATION,
            format!("{host} cannot be named under TLS: {error}"),
        )
    })?;
    connect.connect(stream).await.map_err(|error| {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        match inner.and_then(refusal) {
            Some(why) => refused(code::RIGHTS, format!("{host}:{port}: {why}: {error}")),
            None => failed("agreeing on TLS", &error),
        }
    })
}
