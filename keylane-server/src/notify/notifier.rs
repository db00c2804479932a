//! The handle by which a worker tells what it found.

use std::sync::Arc;
use std::time::Duration;

use keylane::workers::notify::deliver;
use keylane::workers::stats::now_us;
use keylane_core::notify::{AllTerms, Observation, Outbox, Quiet, State, TableReport, Taken};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::terms;
use crate::config::Config;
use crate::exit_code::{Exit, Failure};
use crate::wire_up;

/// Tells what a worker found, by the configuration.
///
/// **How to call it.** [`Notifier::tables`] with the reports of a run, in the order of runs, *before* the run counts as told; once it returns, the messages are durable, and
/// some process sends them. Who dies in between calls it again with the same reports (the run's name tells a repeat): nothing is told twice, nothing is lost. An
/// error does not concern the run: log it, and call again with the next run or at the next start.
pub struct Notifier {
    config: Config,
    outbox: Arc<dyn Outbox>,
    terms: Arc<AllTerms>,
}

impl Notifier {
    /// `None` if the configuration has no channel.
    ///
    /// # Errors
    /// KL-NOTIFY-003 if the outbox cannot be used.
    pub async fn open(config: &Config) -> Result<Option<Notifier>, Failure> {
        if config.notify.channels.is_empty() {
            return Ok(None);
        }
        let outbox = wire_up::outbox(config).await;
        let outbox = outbox.map_err(|error| Failure::new(Exit::Error, error.to_string()))?;
        Ok(Some(Notifier {
            config: config.clone(),
            outbox,
            terms: Arc::new(terms(config)),
        }))
    }

    /// Takes the tables of a run in. Durable once it returns.
    ///
    /// # Errors
    /// KL-NOTIFY-003; nothing was taken in.
    pub async fn tables(&self, reports: Vec<TableReport>) -> Result<(), Failure> {
        let now_us = now_us();
        let observations = reports.into_iter();
        let observations = observations.map(|report| Observation::of_table(report, now_us));
        let taken = self
            .outbox
            .observe(observations.collect(), self.terms.clone(), now_us);
        let taken = taken
            .await
            .map_err(|error| Failure::new(Exit::Error, error.to_string()))?;
        taken.iter().for_each(log);
        Ok(())
    }

    /// Sends what waits and may be sent now, for so long at most and the attempts that are under way then. At once if another process of this machine sends.
    ///
    /// # Errors
    /// If the lock cannot be asked for.
    pub async fn deliver(&self, within: Duration) -> Result<(), Failure> {
        let turn = wire_up::turn(&self.config);
        let turn = turn.map_err(|error| Failure::new(Exit::Error, error.to_string()))?;
        if turn.is_none() {
            return Ok(());
        }
        let channels = wire_up::channels(&self.config)?;
        let stop = CancellationToken::new();
        stop.cancel();
        deliver(self.outbox.clone(), &channels, &stop, within).await;
        Ok(())
    }
}

/// What an observation came to, for the log: every change, and what only the log is told.
pub(super) fn log(taken: &Taken) {
    let subject = &taken.subject;
    for message in &taken.messages {
        let title = keylane_core::notify::words(message).title;
        info!("notify: {title}");
    }
    match taken.quiet {
        Some(Quiet::Below) => info!("notify: {subject}: fewer rows differ than are told"),
        Some(Quiet::Repeat(runs)) if subject.what.table().is_some() && taken.state != State::Ok => {
            info!(
                "notify: {subject}: still {}, run {runs}",
                taken.state.word()
            );
        }
        _ => {}
    }
}
