//! The same changes from a bare client: read from the topic beforehand, folded and grouped as any fast applier would, and then only executed.

use crate::bed::PATIENCE;
use crate::report::Result;
use crate::topic::{Topics, envelope};
use rdkafka::message::Message;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio_postgres::{Client, NoTls};

const INSERT: &str = "insert into orders select i, c, s, t::numeric, n, v
    from unnest($1::bigint[], $2::int[], $3::text[], $4::text[], $5::text[], $6::int[]) x(i, c, s, t, n, v)";
const UPDATE: &str = "update orders set customer = c, status = s, total = t::numeric, note = n, version = v
    from unnest($1::bigint[], $2::int[], $3::text[], $4::text[], $5::text[], $6::int[]) x(i, c, s, t, n, v) where id = i";
const DELETE: &str = "delete from orders where id = any($1)";

/// A row of `orders`.
struct Order {
    customer: i32,
    status: String,
    total: String,
    note: Option<String>,
    version: i32,
}

#[derive(Default)]
struct Columns {
    id: Vec<i64>,
    customer: Vec<i32>,
    status: Vec<String>,
    total: Vec<String>,
    note: Vec<Option<String>>,
    version: Vec<i32>,
}

impl Columns {
    fn push(&mut self, id: i64, order: Order) {
        self.id.push(id);
        self.customer.push(order.customer);
        self.status.push(order.status);
        self.total.push(order.total);
        self.note.push(order.note);
        self.version.push(order.version);
    }
}

/// What a batch comes to once folded.
#[derive(Default)]
struct Batch {
    inserts: Columns,
    updates: Columns,
    deletes: Vec<i64>,
}

/// The batches of each partition, in order.
pub(crate) struct Batches(BTreeMap<i32, Vec<Batch>>);

struct Change {
    id: i64,
    op: char,
    after: Option<Order>,
}

/// Reads all changes (not the copied rows) of `orders`, in batches of `rows` of each partition.
pub(crate) fn batches(topics: &Topics, rows: usize) -> Result<Batches> {
    let mut partitions: BTreeMap<i32, Vec<Change>> = BTreeMap::new();
    topics.read(|message| {
        if message.topic().ends_with(".orders")
            && let Some(change) = envelope(message).as_ref().and_then(change_of)
        {
            partitions
                .entry(message.partition())
                .or_default()
                .push(change);
        }
    })?;
    let folded = partitions.into_iter().map(|(partition, changes)| {
        let mut changes = changes.into_iter().peekable();
        let mut batches = Vec::new();
        while changes.peek().is_some() {
            batches.push(folded(changes.by_ref().take(rows)));
        }
        (partition, batches)
    });
    Ok(Batches(folded.collect()))
}

fn change_of(envelope: &Value) -> Option<Change> {
    let op = envelope.get("op")?.as_str()?.chars().next()?;
    let row = |name: &str| envelope.get(name).filter(|row| !row.is_null());
    let id = row("after").or(row("before"))?.get("id")?.as_i64()?;
    let number = |row: &Value, name: &str| i32::try_from(row.get(name)?.as_i64()?).ok();
    let text = |row: &Value, name: &str| match row.get(name)? {
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    let after = row("after").and_then(|row| {
        Some(Order {
            customer: number(row, "customer")?,
            status: text(row, "status")?,
            total: text(row, "total")?,
            note: text(row, "note"),
            version: number(row, "version")?,
        })
    });
    (op != 'r').then_some(Change { id, op, after })
}

fn folded(changes: impl Iterator<Item = Change>) -> Batch {
    let mut last: BTreeMap<i64, (bool, Option<Order>)> = BTreeMap::new();
    for change in changes {
        let entry = last.entry(change.id).or_insert((change.op == 'c', None));
        entry.1 = change.after;
    }
    let mut batch = Batch::default();
    for (id, (fresh, after)) in last {
        match (fresh, after) {
            (true, Some(order)) => batch.inserts.push(id, order),
            (false, Some(order)) => batch.updates.push(id, order),
            (false, None) => batch.deletes.push(id),
            (true, None) => {}
        }
    }
    batch
}

/// Executes the batches over `connections` connections, a transaction each; says how long that took.
pub(crate) fn execute(url: &str, batches: Batches, connections: usize) -> Result<Duration> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let mut shares: Vec<Vec<Batch>> = (0..connections).map(|_| Vec::new()).collect();
    for ((_, batches), share) in batches.0.into_iter().zip((0..connections).cycle()) {
        if let Some(share) = shares.get_mut(share) {
            share.extend(batches);
        }
    }
    runtime.block_on(async {
        let begun = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for share in shares {
            let url = url.to_owned();
            tasks.spawn(async move { one_connection(&url, share).await });
        }
        let all = async {
            while let Some(done) = tasks.join_next().await {
                done??;
            }
            Ok(begun.elapsed())
        };
        tokio::time::timeout(PATIENCE, all).await?
    })
}

async fn one_connection(url: &str, batches: Vec<Batch>) -> Result<()> {
    let (mut client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let driving = tokio::spawn(connection);
    let insert = client.prepare(INSERT).await?;
    let update = client.prepare(UPDATE).await?;
    let delete = client.prepare(DELETE).await?;
    for batch in batches {
        let transaction = client.transaction().await?;
        if !batch.deletes.is_empty() {
            transaction.execute(&delete, &[&batch.deletes]).await?;
        }
        for (statement, rows) in [(&update, &batch.updates), (&insert, &batch.inserts)] {
            if !rows.id.is_empty() {
                let Columns {
                    id,
                    customer,
                    status,
                    total,
                    note,
                    version,
                } = rows;
                let values: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
                    [id, customer, status, total, note, version];
                transaction.execute(statement, &values).await?;
            }
        }
        transaction.commit().await?;
    }
    drop_client(client);
    driving.await??;
    Ok(())
}

fn drop_client(client: Client) {
    drop(client);
}
