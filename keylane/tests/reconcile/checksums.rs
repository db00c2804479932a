//! Checksums in the databases, over a network that is slow.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use keylane_core::reconcile::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};

use super::bed::{Bed, Notes, Pg, two_databases};

/// A network of so many bytes a second towards the client, which counts them.
struct SlowLink {
    bytes: Arc<AtomicU64>,
}

impl SlowLink {
    /// A way to the database, and its URL.
    async fn to(database: &Pg, bytes_per_second: u64) -> (SlowLink, String) {
        let url = database.url();
        let (user, rest) = url.split_once('@').expect("a user");
        let (server, name) = rest.split_once('/').expect("a database");
        let server = server.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let bytes = Arc::new(AtomicU64::new(0));
        let counted = bytes.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.expect("the server");
                tokio::spawn(pass(client, server, bytes_per_second, counted.clone()));
            }
        });
        let slow = format!("{user}@127.0.0.1:{port}/{name}");
        (SlowLink { bytes }, slow)
    }
}

async fn pass(client: TcpStream, server: TcpStream, bytes_per_second: u64, bytes: Arc<AtomicU64>) {
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    tokio::spawn(async move { copy(&mut from_client, &mut to_server).await });
    let mut buffer = vec![0; 16 << 10];
    while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
        let read_bytes = read as u64;
        bytes.fetch_add(read_bytes, Ordering::Relaxed);
        let takes = read_bytes as f64 / bytes_per_second as f64;
        tokio::time::sleep(Duration::from_secs_f64(takes)).await;
        let rest = buffer.get(..read).unwrap_or_default();
        if to_client.write_all(rest).await.is_err() {
            return;
        }
    }
}

/// Two tables of 100,000 rows of some 150 bytes, of which ten differ, and slow links to both.
async fn slow_bed(name: &str, bytes_per_second: u64) -> Option<(Bed, [SlowLink; 2])> {
    let (origin, replica) = two_databases(name)?;
    for side in [&origin, &replica] {
        side.sql("CREATE TABLE t (id int PRIMARY KEY, a text, b numeric, c timestamptz)");
        side.sql("INSERT INTO t SELECT n, repeat(md5(n::text), 4), n / 4.0, '2026-01-01Z'::timestamptz + n * interval '1 s' FROM generate_series(1, 100000) n");
    }
    replica.sql("UPDATE t SET b = b + 1 WHERE id % 25000 = 77");
    replica.sql("DELETE FROM t WHERE id % 33333 = 0");
    origin.sql("DELETE FROM t WHERE id IN (5, 50000, 100000)");
    let (one, from) = SlowLink::to(&origin, bytes_per_second).await;
    let (other, to) = SlowLink::to(&replica, bytes_per_second).await;
    Some((Bed::by_urls(&from, &to, "t").await, [one, other]))
}

/// Compares; what was found, and how many bytes came over the links.
async fn compare(bed: &mut Bed, links: &[SlowLink; 2], method: Method) -> (Notes, u64) {
    let bytes = || -> u64 {
        links
            .iter()
            .map(|it| it.bytes.load(Ordering::Relaxed))
            .sum()
    };
    let before = bytes();
    let mut notes = Notes::default();
    let figures = bed.compare_by(method, &mut notes).await.expect("compared");
    let found = (figures.different, figures.missing, figures.extra);
    assert_eq!(found, (4, 3, 3), "{figures:?}");
    let rows = (figures.rows_origin, figures.rows_replica);
    assert_eq!(rows, (99_997, 99_997), "no row twice, none left out");
    (notes, bytes() - before)
}

#[tokio::test(flavor = "multi_thread")]
async fn checksums_send_next_to_nothing_and_find_what_reading_finds() {
    let Some((mut bed, links)) = slow_bed("sums_few", 100 << 20).await else {
        return;
    };
    let (by_rows, all) = compare(&mut bed, &links, Method::Rows).await;
    let (by_checksums, few) = compare(&mut bed, &links, Method::Checksums).await;
    assert_eq!(by_rows.figures.summed, 0);
    assert!(all > 20_000_000, "{all} bytes by reading");
    assert!(few < all / 20, "{few} bytes by checksums, {all} by reading");
    let read = by_checksums.figures.rows_origin - by_checksums.figures.summed;
    assert!(read <= 10 * 512, "{read} rows around ten differences");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_network_is_slow_checksums_are_chosen_along_the_way() {
    let Some((mut bed, links)) = slow_bed("sums_auto", 512 << 10).await else {
        return;
    };
    let (notes, bytes) = compare(&mut bed, &links, Method::Auto).await;
    let summed = notes.figures.summed;
    assert!(summed > 20_000, "{summed} rows by checksums, {bytes} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_changes_of_several_rows_do_not_cancel_and_other_spellings_are_no_difference() {
    let Some((origin, replica)) = two_databases("sums_cancel") else {
        return;
    };
    origin.sql("CREATE TABLE t (id int PRIMARY KEY, a text, b text, n numeric, f float8)");
    replica.sql("CREATE TABLE t (id bigint PRIMARY KEY, a text, b text, n numeric, f float8)");
    let rows = "INSERT INTO t SELECT n, 'x', NULL, n, 0 FROM generate_series(1, 3000) n";
    origin.sql(rows);
    replica.sql(rows);
    replica.sql("UPDATE t SET n = n + 0.000, f = '-0' WHERE id > 2000");
    let mut bed = Bed::postgres(&origin, &replica, "t", None).await;
    let mut notes = Notes::default();
    let figures = bed.compare_by(Method::Checksums, &mut notes).await;
    let figures = figures.expect("compared");
    assert_eq!(
        (figures.proved(), figures.rows_origin),
        (0, 3000),
        "{figures:?}"
    );
    assert!(figures.settling >= 1000, "{figures:?}");
    // The same edit of an even number of rows, a word for NULL, and cells that run into each other.
    origin.sql("UPDATE t SET a = 'ab', b = 'c' WHERE id IN (10, 11)");
    replica.sql("UPDATE t SET a = 'a', b = 'bc' WHERE id IN (10, 11)");
    replica.sql("UPDATE t SET b = '-' WHERE id IN (20, 21)");
    replica.sql("UPDATE t SET a = 'y' WHERE id IN (30, 31, 32, 33)");
    let mut notes = Notes::default();
    let figures = bed.compare_by(Method::Checksums, &mut notes).await;
    assert_eq!(figures.expect("compared").different, 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_only_the_replica_has_are_found_however_many_they_are() {
    let Some((origin, replica)) = two_databases("sums_extra") else {
        return;
    };
    for side in [&origin, &replica] {
        side.sql("CREATE TABLE t (id int PRIMARY KEY, a text)");
    }
    origin.sql("INSERT INTO t SELECT n * 10000, 'x' FROM generate_series(1, 5) n");
    replica.sql("INSERT INTO t SELECT n, 'x' FROM generate_series(1, 60000) n");
    let mut bed = Bed::postgres(&origin, &replica, "t", None).await;
    let mut notes = Notes::default();
    let figures = bed.compare_by(Method::Checksums, &mut notes).await;
    let figures = figures.expect("compared");
    assert_eq!(
        (figures.extra, figures.missing, figures.different),
        (59_995, 0, 0)
    );
    // And the other way round.
    let mut bed = Bed::postgres(&replica, &origin, "t", None).await;
    let figures = bed
        .compare_by(Method::Checksums, &mut Notes::default())
        .await;
    let figures = figures.expect("compared");
    assert_eq!(
        (figures.extra, figures.missing, figures.different),
        (0, 59_995, 0)
    );
}
