//! Counts the records of each key in PostgreSQL, each exactly once, whatever is killed when.
//!
//! `cargo run -p keylane --example count -- 127.0.0.1:9092 orders postgres://postgres@127.0.0.1/shop`, and Ctrl-C to end it.

use keylane::consumer::{Consumer, PostgresProgress, Record, Transaction};
use tokio_util::sync::CancellationToken;

const TABLE: &str =
    "CREATE TABLE IF NOT EXISTS counters (key bytea PRIMARY KEY, n bigint NOT NULL)";
const COUNT: &str =
    "INSERT INTO counters VALUES ($1, 1) ON CONFLICT (key) DO UPDATE SET n = counters.n + 1";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let bootstrap = arguments.next().unwrap_or("127.0.0.1:9092".to_owned());
    let topic = arguments.next().unwrap_or("orders".to_owned());
    let default = "postgres://postgres@127.0.0.1/shop".to_owned();
    let database = arguments.next().unwrap_or(default);

    let stop = CancellationToken::new();
    let stopping = stop.clone();
    tokio::spawn(async move {
        tokio::signal::ctrl_c().await.ok();
        stopping.cancel();
    });

    let client =
        keylane::postgres::connect::connect(&database, "count", &Default::default()).await?;
    client.batch_execute(TABLE).await?;

    Consumer::kafka(bootstrap, "counters")
        .topic(topic)
        .run_in_transactions(
            PostgresProgress::new(database),
            stop,
            async |record: Record, transaction: &Transaction| {
                let key = record.key.as_deref().unwrap_or_default();
                transaction.execute(COUNT, &[&key]).await.map(drop)
            },
        )
        .await?;
    Ok(())
}
