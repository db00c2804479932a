//! Taking the address, and giving it up.
//!
//! Two processes of one configuration on one machine (`run --only capture` and `run --only apply`) share the address: the first has it and tells of both, since
//! both write status files; the second warns, goes on without, and takes the address over once it is free. Anybody else at the address is an error.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::sagas::SagaPaths;
use super::service::{PATHS, service};
use super::source::Source;
use crate::config::Http;
use crate::exit_code::{Exit, Failure};
use crate::wire_up::EventIntake;

/// How long the holder of a taken address may need to leave its note.
const NOTE_WAIT: Duration = Duration::from_secs(2);
/// How often a second process looks whether the address is free.
const TAKE_OVER_INTERVAL: Duration = Duration::from_secs(3);
/// How long requests may take to end at a shutdown.
const DRAIN_MAX: Duration = Duration::from_secs(2);
const NOTE: &str = "http.json";

/// The note that the process which has the address leaves in the state folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The process.
    pub pid: u32,
    /// The configured address.
    pub configured: SocketAddr,
    /// The address it really has; another port if 0 was configured.
    pub listen: SocketAddr,
}

impl Holder {
    /// The note in this state folder, if its process is still there.
    pub fn read(state_dir: &Path) -> Option<Holder> {
        let holder: Holder =
            serde_json::from_slice(&std::fs::read(state_dir.join(NOTE)).ok()?).ok()?;
        let there = Path::new("/proc").join(holder.pid.to_string()).exists();
        there.then_some(holder)
    }

    fn write(&self, state_dir: &Path) -> io::Result<()> {
        std::fs::create_dir_all(state_dir)?;
        let half = state_dir.join(format!("{NOTE}.{}.tmp", self.pid));
        std::fs::write(&half, serde_json::to_vec(self).map_err(io::Error::other)?)?;
        std::fs::rename(half, state_dir.join(NOTE))
    }
}

/// Serves until `stop`, in a task of its own. Returns once the address is taken, or left to another process of the same configuration; at once if HTTP is off.
///
/// # Errors
/// KL-HTTP-001 if the address cannot be taken.
pub async fn serve(
    http: &Http,
    state_dir: &Path,
    source: Arc<dyn Source>,
    (intake, sagas): (EventIntake, Option<Arc<SagaPaths>>),
    stop: &CancellationToken,
) -> Result<Option<tokio::task::JoinHandle<()>>, Failure> {
    let Some(address) = http.listen else {
        return Ok(None);
    };
    let router = service(source, intake, sagas, http.auth_token.clone());
    let server = Server {
        address,
        state_dir: state_dir.to_owned(),
        router,
        stop: stop.clone(),
    };
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => Some(listener),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let Some(holder) = holder_of(state_dir, address).await else {
                return Err(not_taken(address, &error));
            };
            warn!(
                address = %address,
                holder = holder.pid,
                "another process of this configuration serves HTTP; this one does not, until the address is free"
            );
            None
        }
        Err(error) => return Err(not_taken(address, &error)),
    };
    Ok(Some(tokio::spawn(server.run(listener))))
}

fn not_taken(address: SocketAddr, error: &io::Error) -> Failure {
    Failure::new(
        Exit::Error,
        format!(
            "KL-HTTP-001: the HTTP service cannot take {address}: {error}. Set http.listen to a free address, or to 'off'; `ss -ltnp` tells who has it"
        ),
    )
}

/// The process of this configuration that has the address, if it is one.
async fn holder_of(state_dir: &Path, address: SocketAddr) -> Option<Holder> {
    let until = Instant::now() + NOTE_WAIT;
    loop {
        let note = Holder::read(state_dir)
            .filter(|holder| holder.configured == address && holder.pid != std::process::id());
        if note.is_some() || Instant::now() > until {
            return note;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Requests that take longer than they may at a shutdown.
pub(super) async fn late(stop: CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(DRAIN_MAX).await;
}

struct Server {
    address: SocketAddr,
    state_dir: PathBuf,
    router: Router,
    stop: CancellationToken,
}

impl Server {
    async fn run(self, listener: Option<TcpListener>) {
        let listener = match listener {
            Some(listener) => listener,
            None => match self.wait_for_address().await {
                Some(listener) => listener,
                None => return,
            },
        };
        let listen = listener.local_addr().unwrap_or(self.address);
        let note = Holder {
            pid: std::process::id(),
            configured: self.address,
            listen,
        };
        if let Err(error) = note.write(&self.state_dir) {
            warn!("no note of the HTTP address could be left in the state folder: {error}");
        }
        info!("http://{listen}: {PATHS}");
        let stopped = self.stop.clone();
        let serving =
            axum::serve(listener, self.router).with_graceful_shutdown(stopped.cancelled_owned());
        tokio::select! {
            ended = serving => if let Err(error) = ended {
                warn!("the HTTP service ended: {error}");
            },
            () = late(self.stop.clone()) => {}
        }
        let _ = std::fs::remove_file(self.state_dir.join(NOTE));
    }

    /// The address, once whoever has it let it go; `None` at the end.
    async fn wait_for_address(&self) -> Option<TcpListener> {
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return None,
                () = tokio::time::sleep(TAKE_OVER_INTERVAL) => {}
            }
            if let Ok(listener) = TcpListener::bind(self.address).await {
                return Some(listener);
            }
        }
    }
}
