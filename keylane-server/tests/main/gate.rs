//! A way to a server that can be shut and opened again: for whoever goes through it, the server is away; others reach it as before.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use keylane_parts::{PortLease, free_port};

/// A loopback port that leads to another one while it is open.
pub struct Gate {
    lease: PortLease,
    target: String,
    open: Option<Open>,
}

struct Open {
    door: JoinHandle<()>,
    passing: Arc<Mutex<Passing>>,
}

/// The connections that go through, to be cut when the gate is shut.
#[derive(Default)]
struct Passing {
    shut: bool,
    streams: Vec<TcpStream>,
}

impl Gate {
    /// To the server of this URL; shut at first.
    pub fn to(url: &str) -> Gate {
        let mut gate = Gate::to_be_led();
        gate.lead_to(place_of(url));
        gate
    }

    /// To a server that is not there yet.
    pub fn to_be_led() -> Gate {
        Gate {
            lease: free_port().expect("a free port"),
            target: String::new(),
            open: None,
        }
    }

    /// To this place, when it is opened the next time.
    pub fn lead_to(&mut self, place: &str) {
        place.clone_into(&mut self.target);
    }

    pub fn port(&self) -> u16 {
        self.lease.port()
    }

    /// Where it listens, as messages name it.
    pub fn place(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    /// A URL of the server, through the gate.
    pub fn through(&self, url: &str) -> String {
        url.replace(&self.target, &self.place())
    }

    pub fn open(&mut self) {
        if self.open.is_some() {
            return;
        }
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, self.port())).expect("the gate's port");
        let passing = Arc::new(Mutex::new(Passing::default()));
        let (inside, target) = (passing.clone(), self.target.clone());
        let door = std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.expect("a connection");
                if !let_through(stream, &target, &inside) {
                    return;
                }
            }
        });
        self.open = Some(Open { door, passing });
    }

    /// Cuts every connection; afterwards new ones are refused.
    pub fn shut(&mut self) {
        let Some(Open { door, passing }) = self.open.take() else {
            return;
        };
        {
            let mut passing = passing.lock().unwrap_or_else(PoisonError::into_inner);
            passing.shut = true;
            for stream in passing.streams.drain(..) {
                stream.shutdown(Shutdown::Both).ok();
            }
        }
        // Wakes the one who waits for connections.
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.port())).ok();
        door.join().expect("the gate's thread ends");
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.shut();
    }
}

/// `postgres://user@HOST:PORT/database` → `HOST:PORT`.
fn place_of(url: &str) -> &str {
    let behind_user = url.rsplit_once('@').map_or(url, |(_, rest)| rest);
    behind_user.split('/').next().unwrap_or_default()
}

/// False once the gate is shut.
fn let_through(client: TcpStream, target: &str, passing: &Mutex<Passing>) -> bool {
    let mut passing = passing.lock().unwrap_or_else(PoisonError::into_inner);
    if passing.shut {
        return false;
    }
    let Ok(server) = TcpStream::connect(target) else {
        return true;
    };
    for (from, to) in [(&client, &server), (&server, &client)] {
        let (mut from, mut to) = (copy_of(from), copy_of(to));
        to.set_nodelay(true).ok();
        std::thread::spawn(move || {
            let mut bytes = [0; 16 * 1024];
            loop {
                let count = from.read(&mut bytes).unwrap_or(0);
                if count == 0
                    || to
                        .write_all(bytes.get(..count).unwrap_or_default())
                        .is_err()
                {
                    from.shutdown(Shutdown::Both).ok();
                    to.shutdown(Shutdown::Both).ok();
                    return;
                }
            }
        });
    }
    passing.streams.extend([client, server]);
    true
}

fn copy_of(stream: &TcpStream) -> TcpStream {
    stream
        .try_clone()
        .expect("another handle of the connection")
}
