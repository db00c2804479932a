//! The receiver: a thread that listens, a thread for each connection.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::http::{Request, answer, read};
use super::slack_rules::slack_takes;
use crate::error::{PartsError, Result};
use crate::ports::{PortLease, free_port};

/// What becomes of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// 200 if Slack's rules are kept, else 400 with Slack's word.
    Slack,
    /// 200 for whatever comes.
    Take,
    /// This status and body, whatever comes; the third is `Retry-After` in seconds.
    Answer(u16, &'static str, Option<u64>),
    /// The request is read, and nothing is ever said.
    Hang,
    /// The request is read, and the connection is closed.
    DieUnanswered,
    /// The connection is closed before the request is read.
    DieUnread,
    /// 200, and the connection is closed in the middle of the body.
    DieInBody,
}

/// A request that was read.
#[derive(Clone, Debug)]
pub struct Received {
    /// When.
    pub at: Instant,
    /// The path of the URL.
    pub path: String,
    /// Headers, names in small letters.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
    /// The status that was answered; `None`: none was.
    pub status: Option<u16>,
    /// Whether it came before the time that an earlier answer had asked for.
    pub is_early: bool,
}

impl Received {
    /// Whether its sender was told that it was taken.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.status.is_some_and(|status| status < 300)
    }

    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

struct State {
    script: VecDeque<Behaviour>,
    otherwise: Behaviour,
    received: Vec<Received>,
    not_before: Option<Instant>,
}

/// A receiver on a loopback port. It ends when it is dropped.
pub struct Receiver {
    port: PortLease,
    state: Arc<Mutex<State>>,
    listening: Option<Listening>,
}

struct Listening {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Receiver {
    /// Listens, and behaves so.
    ///
    /// # Errors
    /// If no port is free.
    pub fn start(otherwise: Behaviour) -> Result<Self> {
        let state = State {
            script: VecDeque::new(),
            otherwise,
            received: Vec::new(),
            not_before: None,
        };
        let mut receiver = Receiver {
            port: free_port()?,
            state: Arc::new(Mutex::new(state)),
            listening: None,
        };
        receiver.open()?;
        Ok(receiver)
    }

    /// Its URL; the path holds what would be a secret.
    #[must_use]
    pub fn url(&self) -> String {
        format!(
            "http://127.0.0.1:{}/services/T0/B0/hooksecret",
            self.port.port()
        )
    }

    /// The next requests are treated so, one after another; those behind them as before.
    pub fn next(&self, behaviours: impl IntoIterator<Item = Behaviour>) {
        self.lock().script.extend(behaviours);
    }

    /// Every request from now on is treated so.
    pub fn from_now_on(&self, behaviour: Behaviour) {
        let mut state = self.lock();
        state.script.clear();
        state.otherwise = behaviour;
    }

    /// What came, in the order in which it came.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.lock().received.clone()
    }

    /// Of these, what its sender was told that it was taken.
    #[must_use]
    pub fn taken(&self) -> Vec<Received> {
        let mut all = self.received();
        all.retain(Received::is_taken);
        all
    }

    /// Nobody listens any more, until [`Receiver::open`].
    pub fn close(&mut self) {
        let Some(Listening { stop, thread }) = self.listening.take() else {
            return;
        };
        stop.store(true, Ordering::SeqCst);
        // Wakes the thread; it may have ended by itself.
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.port.port())).ok();
        thread.join().ok();
    }

    /// Listens again, at the same address.
    ///
    /// # Errors
    /// If something else took the port.
    pub fn open(&mut self) -> Result<()> {
        let port = self.port.port();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .map_err(|error| PartsError::Invalid(format!("127.0.0.1:{port}: {error}")))?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, state) = (stop.clone(), self.state.clone());
        let thread = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let state = state.clone();
                thread::spawn(move || serve(&stream, &state));
            }
        });
        self.listening = Some(Listening { stop, thread });
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.close();
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(stream: &TcpStream, state: &Mutex<State>) {
    let behaviour = {
        let mut state = locked(state);
        let next = state.script.pop_front();
        next.unwrap_or_else(|| state.otherwise.clone())
    };
    if behaviour == Behaviour::DieUnread {
        stream.shutdown(Shutdown::Both).ok();
        return;
    }
    let Ok(request) = read(stream) else {
        return;
    };
    let (status, said) = match &behaviour {
        Behaviour::Slack => match slack_takes(&request.body) {
            Ok(()) => (Some(200), answer(200, None, "ok")),
            Err(word) => (Some(400), answer(400, None, word)),
        },
        Behaviour::Take => (Some(200), answer(200, None, "ok")),
        Behaviour::Answer(status, body, wait) => (Some(*status), answer(*status, *wait, body)),
        Behaviour::Hang | Behaviour::DieUnanswered | Behaviour::DieUnread => (None, String::new()),
        Behaviour::DieInBody => {
            let whole = answer(200, None, &"x".repeat(1000));
            let half = whole.get(..whole.len() - 900).unwrap_or_default();
            (Some(200), half.to_owned())
        }
    };
    note(state, request, status, &behaviour);
    let mut writer = stream;
    writer.write_all(said.as_bytes()).ok();
    if behaviour == Behaviour::Hang {
        // Until the sender has had enough.
        writer.read_to_end(&mut Vec::new()).ok();
    }
    stream.shutdown(Shutdown::Both).ok();
}

/// Noted before it is answered, so that whoever got the answer finds it.
fn note(state: &Mutex<State>, request: Request, status: Option<u16>, behaviour: &Behaviour) {
    let now = Instant::now();
    let mut state = locked(state);
    let is_early = state.not_before.is_some_and(|until| now < until);
    if let Behaviour::Answer(_, _, Some(seconds)) = behaviour {
        state.not_before = Some(now + Duration::from_secs(*seconds));
    }
    state.received.push(Received {
        at: now,
        path: request.path,
        headers: request.headers,
        body: request.body,
        status,
        is_early,
    });
}
