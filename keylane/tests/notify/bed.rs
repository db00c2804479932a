//! An outbox in a folder of its own, channels to a receiver, and tables that change.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use keylane::slack::SlackChannel;
use keylane::sqlite::notify::SqliteOutbox;
use keylane::webhook::{WebhookChannel, WebhookOptions};
use keylane::workers::notify::{Channels, deliver};
use keylane::workers::stats::now_us;
use keylane_core::notify::{
    AllTerms, Channel, ChannelFigures, Observation, Outbox, TableReport, Taken, Terms, Verdict,
};
use keylane_parts::Receiver;
use tokio_util::sync::CancellationToken;

/// How long any awaited thing may take.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Every pipeline is told to these channels.
pub fn told_to(channels: &[&str]) -> Arc<AllTerms> {
    let general = Terms {
        channels: channels.iter().map(|name| Arc::from(*name)).collect(),
        min_rows: 1,
        min_ratio: 0.0,
        values: false,
    };
    Arc::new(AllTerms {
        general,
        of: BTreeMap::new(),
    })
}

pub fn report(table: &str, run: &str, verdict: Verdict, different: u64) -> TableReport {
    TableReport {
        different,
        rows_origin: 1000,
        rows_replica: 1000,
        ..TableReport::new(Some("shop"), table, run, verdict)
    }
}

pub fn slack(receiver: &Receiver) -> Arc<dyn Channel> {
    Arc::new(SlackChannel::new(&receiver.url(), "test").expect("a URL"))
}

pub fn webhook(receiver: &Receiver, secret: Option<&str>) -> Arc<dyn Channel> {
    let options = WebhookOptions {
        url: receiver.url(),
        secret: secret.map(str::to_owned),
        source: "/keylane/test".to_owned(),
    };
    Arc::new(WebhookChannel::new(options).expect("a URL"))
}

/// An outbox, opened anew as after a death whenever it is asked for.
pub struct Bed {
    folder: tempfile::TempDir,
}

impl Bed {
    pub fn new() -> Bed {
        Bed {
            folder: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub async fn open(&self) -> Arc<SqliteOutbox> {
        let outbox = SqliteOutbox::open(self.folder()).await;
        Arc::new(outbox.expect("the outbox opens"))
    }

    /// Sends until nothing is left, as far as it may be sent.
    pub async fn send(&self, outbox: &Arc<SqliteOutbox>, name: &str, channel: Arc<dyn Channel>) {
        let stop = CancellationToken::new();
        stop.cancel();
        let channels = Channels::from([(name.into(), channel)]);
        deliver(outbox.clone(), &channels, &stop, PATIENCE).await;
    }
}

/// A table is seen so; what came of it.
pub async fn observe(
    outbox: &Arc<SqliteOutbox>,
    terms: &Arc<AllTerms>,
    report: TableReport,
) -> Taken {
    let observation = Observation::of_table(report, now_us());
    let taken = outbox
        .observe(vec![observation], terms.clone(), now_us())
        .await;
    taken.expect("it is taken in").remove(0)
}

pub async fn figures(outbox: &Arc<SqliteOutbox>, channel: &str) -> ChannelFigures {
    let all = outbox.figures().await.expect("figures");
    all.into_iter()
        .find(|figures| figures.channel == channel)
        .unwrap_or_default()
}
