//! Many callers, one transaction: a thread takes what has come meanwhile together, so that a commit is paid for by all of them.

use std::path::Path;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::store::{AcceptError, AcceptLimits, Accepted, Offer, Store, is_busy};
use crate::workers::stats::now_us;

/// Callers that wait for their turn.
const WAITING_MAX: usize = 1_024;
/// Offers of one transaction.
const TOGETHER_MAX: usize = 256;
/// Bytes of one transaction.
const BYTES_MAX: usize = 8 << 20;
/// How often keys are counted anew.
const COUNT_INTERVAL: Duration = Duration::from_secs(60);

type Answer = Result<Accepted, AcceptError>;

/// Takes events. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Acceptor {
    offers: mpsc::Sender<(Offer, oneshot::Sender<Answer>)>,
}

impl Acceptor {
    /// Opens the file, and makes it and its tables where they are missing. Blocks. `table` is the outbox.
    ///
    /// # Errors
    /// If the file cannot be opened or made.
    pub fn open(path: &Path, table: &str, limits: AcceptLimits) -> Result<Acceptor, AcceptError> {
        let failed = |message: String| AcceptError {
            message,
            is_final: false,
        };
        let begun = Instant::now();
        let store = loop {
            match Store::open(path, table, limits) {
                // Changing the journal mode of a new file does not wait by itself.
                Err(error) if is_busy(&error) && begun.elapsed() < Duration::from_secs(5) => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                opened => break opened,
            }
        };
        let store = store
            .map_err(|error| failed(format!("{} cannot be opened: {error}", path.display())))?;
        let (offers, waiting) = mpsc::channel(WAITING_MAX);
        std::thread::Builder::new()
            .name("accept".to_owned())
            .spawn(move || serve(store, waiting))
            .map_err(|error| failed(format!("a thread for events did not start: {error}")))?;
        Ok(Acceptor { offers })
    }

    /// Takes an event. What is told is durable. Waits while many others wait.
    ///
    /// # Errors
    /// If it is no event, or the file does not take it.
    pub async fn take(&self, offer: Offer) -> Answer {
        let gone = || AcceptError {
            message: "the store of events has ended".to_owned(),
            is_final: false,
        };
        let (told, answer) = oneshot::channel();
        let sent = self.offers.send((offer, told)).await;
        sent.map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

fn serve(mut store: Store, mut waiting: mpsc::Receiver<(Offer, oneshot::Sender<Answer>)>) {
    let mut counted = Instant::now();
    while let Some((first, told)) = waiting.blocking_recv() {
        let size = |offer: &Offer| offer.event.payload.as_ref().map_or(0, bytes::Bytes::len);
        let mut bytes = size(&first);
        let (mut offers, mut callers) = (vec![first], vec![told]);
        while offers.len() < TOGETHER_MAX && bytes < BYTES_MAX {
            let Ok((offer, told)) = waiting.try_recv() else {
                break;
            };
            bytes += size(&offer);
            offers.push(offer);
            callers.push(told);
        }
        let answers = match store.take(&offers, now_us() / 1000) {
            Ok(answers) => answers,
            Err(error) => vec![Err(error); offers.len()],
        };
        for (caller, answer) in callers.into_iter().zip(answers) {
            // Who has gone away asks again.
            let _ = caller.send(answer);
        }
        if counted.elapsed() >= COUNT_INTERVAL && store.count().is_ok() {
            counted = Instant::now();
        }
    }
}
