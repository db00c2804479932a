//! What an outbox of the configuration comes to: settings of its capture, and what takes events over HTTP.

use std::path::Path;

use keylane::sqlite::accept::{AcceptError, AcceptLimits, Acceptor};
use keylane::workers::capture::{Named, OutboxSettings};
use keylane_core::model::TableName;
use keylane_core::outbox::{EVENT_BYTES_MAX, Rules};

use crate::config::{self, Pipeline};

/// The tables whose rows are events, and what these may name.
pub(super) fn outbox(outbox: &config::Outbox, origin: &config::Origin) -> OutboxSettings {
    let named = |table: TableName| Named {
        schema: Some(table.schema),
        table: table.name,
    };
    OutboxSettings {
        tables: outbox_tables(outbox, origin)
            .into_iter()
            .map(named)
            .collect(),
        rules: event_rules(outbox),
    }
}

/// What events of an outbox may name.
pub(super) fn event_rules(outbox: &config::Outbox) -> Rules {
    Rules {
        topics: outbox.topics.clone(),
        event_bytes_max: EVENT_BYTES_MAX,
        source: outbox.source.clone(),
    }
}

/// The tables of an origin whose rows are events.
pub(super) fn outbox_tables(outbox: &config::Outbox, origin: &config::Origin) -> Vec<TableName> {
    outbox.tables_in(match origin {
        config::Origin::Postgres(_) => "public",
        config::Origin::Sqlite { .. } => "main",
    })
}

/// Whether an origin is not there, and is made by the start: it is for events that come over HTTP.
pub(super) fn is_made_here(path: &Path, pipeline: &Pipeline) -> bool {
    let accepts = |outbox: &config::Outbox| outbox.accept.is_some();
    pipeline.outbox.as_ref().is_some_and(accepts) && !path.exists()
}

/// What takes events that come over HTTP for a pipeline. Blocks. The file is made if it is not there.
pub(super) fn acceptor(path: &Path, pipeline: &Pipeline) -> Result<Acceptor, AcceptError> {
    let outbox = pipeline.outbox.as_ref();
    let accept = outbox.and_then(|outbox| outbox.accept);
    let table = outbox.and_then(|outbox| outbox.tables_in("main").into_iter().next());
    let (Some(accept), Some(table)) = (accept, table) else {
        return Err(AcceptError {
            message: "this pipeline takes no events over HTTP".to_owned(),
            is_final: true,
        });
    };
    let limits = AcceptLimits {
        keys_kept: accept.keys_kept,
        keys_max: accept.keys_max,
    };
    Acceptor::open(path, &table.name, limits)
}
