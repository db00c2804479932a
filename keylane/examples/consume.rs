//! Records of a topic, each key's in order, a hundred side by side.
//!
//! `cargo run -p keylane --example consume -- 127.0.0.1:9092 orders`, and Ctrl-C to end it.

use keylane::consumer::{Consumer, Record};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let bootstrap = arguments.next().unwrap_or("127.0.0.1:9092".to_owned());
    let topic = arguments.next().unwrap_or("orders".to_owned());

    let stop = CancellationToken::new();
    let stopping = stop.clone();
    tokio::spawn(async move {
        tokio::signal::ctrl_c().await.ok();
        stopping.cancel();
    });

    Consumer::kafka(bootstrap, "printer")
        .topic(topic)
        .concurrency(100)
        .run(stop, async |record: Record| {
            let text = |bytes: Option<&[u8]>| {
                String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
            };
            println!(
                "{}: {}",
                text(record.key.as_deref()),
                text(record.value.as_deref())
            );
            Ok::<(), std::io::Error>(())
        })
        .await?;
    Ok(())
}
