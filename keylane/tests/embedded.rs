//! The embedded log against its contract, in temporary folders.

use std::sync::Arc;

use keylane::embedded::{EmbeddedLog, EmbeddedOptions};

use crate::log_conformance::check_log;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_log_keeps_every_promise_of_a_log() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = EmbeddedOptions::at(folder.path().join("log.db"));
    let log = EmbeddedLog::open(options).await.expect("opened");
    check_log(Arc::new(log), "any").await;
}
