//! A thread of its own for something that blocks (a SQLite connection): its work never blocks the runtime's threads.
//!
//! Jobs run one after another in the order in which they were handed over, also those whose caller has gone. The thread ends, and drops what it holds,
//! once its handle is dropped and the jobs handed over are done.

use std::sync::mpsc;
use std::thread;

use tokio::sync::oneshot;

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

/// The thread ended before it answered (it panicked): what it was doing is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the thread that does this work has ended")]
pub(crate) struct ThreadGone;

/// The handle of a thread that holds an `S`.
pub(crate) struct OwnThread<S> {
    jobs: mpsc::Sender<Job<S>>,
}

impl<S: 'static> OwnThread<S> {
    /// Starts a thread, makes an `S` on it and waits for that.
    pub(crate) async fn start<E: From<ThreadGone> + Send + 'static>(
        name: &str,
        make: impl FnOnce() -> Result<S, E> + Send + 'static,
    ) -> Result<Self, E> {
        let (jobs, queue) = mpsc::channel::<Job<S>>();
        let (ready, made) = oneshot::channel();
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let mut state = match make() {
                    Ok(state) => state,
                    Err(error) => {
                        let _ = ready.send(Err(error));
                        return;
                    }
                };
                if ready.send(Ok(())).is_ok() {
                    for job in queue {
                        job(&mut state);
                    }
                }
            })
            .map_err(|_| ThreadGone)?;
        made.await.map_err(|_| ThreadGone)??;
        Ok(OwnThread { jobs })
    }

    /// Hands a job over; the receiver gets its result.
    pub(crate) fn submit<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut S) -> R + Send + 'static,
    ) -> oneshot::Receiver<R> {
        let (reply, result) = oneshot::channel();
        // A thread that has ended drops the job, and with it the reply.
        let _ = self.jobs.send(Box::new(move |state| {
            let _ = reply.send(job(state));
        }));
        result
    }

    /// Hands a job over and waits for its result. If the caller goes away meanwhile, the job is done all the same.
    pub(crate) async fn call<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut S) -> R + Send + 'static,
    ) -> Result<R, ThreadGone> {
        self.submit(job).await.map_err(|_| ThreadGone)
    }
}
