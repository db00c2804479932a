//! Connections that break at the commit: before it reaches the server, or before its answer reaches us.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use keylane::consumer::PostgresProgress;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::bed::{Bed, count, until};
use crate::consumer_bed::ended;

/// Passes bytes on to the server, but breaks each sixth connection that says COMMIT: in turns with the word unsaid, and with the answer unheard.
struct Breaker {
    port: u16,
    rejected: Arc<AtomicU64>,
    unheard: Arc<AtomicU64>,
}

impl Breaker {
    async fn before(server: String) -> Breaker {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (rejected, unheard) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let (counting_rejected, counting_unheard) = (rejected.clone(), unheard.clone());
        tokio::spawn(async move {
            let commits = Arc::<AtomicU64>::default();
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.expect("a server");
                let (commits, rejected, unheard) = (
                    commits.clone(),
                    counting_rejected.clone(),
                    counting_unheard.clone(),
                );
                tokio::spawn(pass_on(client, server, commits, rejected, unheard));
            }
        });
        Breaker {
            port,
            rejected,
            unheard,
        }
    }
}

async fn pass_on(
    mut client: TcpStream,
    mut server: TcpStream,
    commits: Arc<AtomicU64>,
    rejected: Arc<AtomicU64>,
    unheard: Arc<AtomicU64>,
) -> std::io::Result<()> {
    let (mut asked, mut answered) = (vec![0; 65536], vec![0; 65536]);
    loop {
        tokio::select! {
            count = client.read(&mut asked) => {
                let words = &asked[..count?];
                if words.is_empty() {
                    return Ok(());
                }
                let commits_now = words.windows(6).any(|word| word == b"COMMIT");
                let breaks = match commits_now {
                    true => commits.fetch_add(1, Ordering::Relaxed) % 12,
                    false => 0,
                };
                if breaks == 5 {
                    rejected.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                server.write_all(words).await?;
                if breaks == 11 {
                    // The server has committed when it answers.
                    let _unheard = server.read(&mut answered).await?;
                    unheard.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
            }
            count = server.read(&mut answered) => {
                let words = &answered[..count?];
                if words.is_empty() {
                    return Ok(());
                }
                client.write_all(words).await?;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_is_neither_done_twice_nor_left_out() {
    let Some(bed) = Bed::new("consumer-answers", 2).await else {
        return;
    };
    bed.topic.fill(0..600, 2, |number| number % 30).await;
    let url = url::Url::parse(&bed.url).expect("a URL");
    let (host, port) = (url.host_str().expect("a host"), url.port().expect("a port"));
    let breaker = Breaker::before(format!("{host}:{port}")).await;
    let mut through = url.clone();
    through.set_port(Some(breaker.port)).expect("set");
    let progress = PostgresProgress::new(through).lanes(16).connections(6);
    let stop = CancellationToken::new();
    // Nobody else is there, and no attempt failed by the handler's fault.
    let consumer = bed.topic.consumer().attempts(1);
    let stats = consumer.stats();
    let running = tokio::spawn(consumer.run_in_transactions(progress, stop.clone(), count));
    until("all records", 2, || bed.audited() >= 600).await;
    until("all to be known as done", 1, || stats.handled.get() >= 600).await;
    stop.cancel();
    ended(running).await.expect("a clean stop");
    bed.assert_exact(600, 30);
    assert_eq!(
        (stats.handled.get(), stats.failed.get(), stats.fenced.get()),
        (600, 0, 0)
    );
    let broken = (&breaker.rejected, &breaker.unheard);
    let times = |it: &AtomicU64| it.load(Ordering::Relaxed);
    assert!(times(broken.0) > 20 && times(broken.1) > 20, "{broken:?}");
}
