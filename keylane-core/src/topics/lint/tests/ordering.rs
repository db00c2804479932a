//! L4 to L8.

use super::*;

fn both(live: Facts, configured: Facts) -> Facts {
    Facts {
        cluster: live.cluster,
        ..configured
    }
}

#[test]
fn l4_speaks_of_another_number_of_partitions_for_what_holds_keyed_records() {
    let wanting = |partitions: u32| {
        configured(move |pipeline| {
            pipeline.topics.insert("orders".to_owned(), partitions);
        })
    };
    speaks(
        Lint::L4,
        &both(live(|_| {}), wanting(12)),
        &[
            "topic orders",
            "8 partitions, 12 are wanted",
            "new topic or prefix",
        ],
    );
    is_kept(Lint::L4, &both(live(|_| {}), wanting(8)));
    // Nothing to move: it is empty.
    let empty = |cluster: &mut Cluster| {
        cluster.topics[0].records = 0;
        cluster.topics[0].sample.clear();
    };
    is_kept(Lint::L4, &both(live(empty), wanting(12)));
    speaks(
        Lint::L4,
        &live_with(&[(Input::Partitions, 16.0)], |_| {}),
        &["16 are wanted"],
    );
    needs(Lint::L4, &live(|_| {}), "configuration");
}

#[test]
fn l5_speaks_of_an_item_that_does_not_go_where_its_order_goes() {
    let of = |topic: &'static str, by: &'static str| {
        configured(move |pipeline| pipeline.planned = Some(planned(10.0, (topic, by))))
    };
    speaks(
        Lint::L5,
        &of("items", "id"),
        &["table public.items", "topic items by (id)", "by (order_id)"],
    );
    speaks(Lint::L5, &of("items", "order_id"), &["into orders"]);
    speaks(
        Lint::L5,
        &of("orders", "id"),
        &["shares topic orders", "not by (order_id)"],
    );
    is_kept(Lint::L5, &of("orders", "order_id"));
    needs(Lint::L5, &live(|_| {}), "origin");
}

/// A key that CRC32 puts elsewhere than murmur2, where CRC32 puts it. Worked out with zlib's crc32 modulo 8.
fn by_crc(key: &str, partition: u32) -> Sampled {
    Sampled {
        partition,
        ..by_murmur(key, 8)
    }
}

#[test]
fn l6_speaks_of_keys_that_lie_where_two_partitioners_put_them() {
    // zlib.crc32(b"c0") % 8 and so on.
    let crc = [("c0", 7), ("c1", 1), ("c2", 3), ("c3", 5), ("c4", 6)];
    let mixed = |cluster: &mut Cluster| {
        let sample = &mut cluster.topics[0].sample;
        sample.extend(crc.map(|(key, partition)| by_crc(key, partition)));
    };
    speaks(
        Lint::L6,
        &live(mixed),
        &["topic orders", "only murmur2", "only CRC32"],
    );
    let twice = |cluster: &mut Cluster| {
        let mut again = cluster.topics[0].sample[0].clone();
        again.partition = (again.partition + 1) % 8;
        cluster.topics[0].sample.push(again);
    };
    speaks(
        Lint::L6,
        &live(twice),
        &["1 of 300 keys", "more than one partition"],
    );
    is_kept(Lint::L6, &live(|_| {}));
    // Somebody's own partitioner is neither.
    let own = |cluster: &mut Cluster| {
        for (number, record) in cluster.topics[0].sample.iter_mut().enumerate() {
            record.partition = (number as u32) % 8;
        }
    };
    is_kept(Lint::L6, &live(own));
    // Keylane's own records go by their order key.
    let keylanes = |cluster: &mut Cluster| {
        for record in &mut cluster.topics[0].sample {
            record.is_keylanes = true;
            record.partition = 0;
        }
    };
    is_kept(Lint::L6, &live(keylanes));
}

#[test]
fn l6_speaks_of_producers_whose_settings_differ() {
    let clients = |two: &[(&str, &str)]| Facts {
        clients: vec![
            named("java", &[("acks", "all"), ("key.serializer", "x")]),
            named("rust", two),
        ],
        ..Facts::default()
    };
    speaks(
        Lint::L6,
        &clients(&[("acks", "all"), ("client.library", "librdkafka")]),
        &["CRC32 (rust)", "murmur2 (java)"],
    );
    is_kept(Lint::L6, &clients(&[("partitioner", "murmur2_random")]));
    needs(Lint::L6, &clients(&[("acks", "all")]), "client.library");
}

#[test]
fn l7_speaks_of_records_without_a_key() {
    let some = |cluster: &mut Cluster| cluster.topics[0].sample[7].key = None;
    speaks(Lint::L7, &live(some), &["1 of 300 records"]);
    is_kept(Lint::L7, &live(|_| {}));
    needs(
        Lint::L7,
        &live(|cluster| cluster.topics[0].sample.clear()),
        "records",
    );
}

#[test]
fn l8_speaks_of_a_key_that_no_number_of_threads_can_follow() {
    let of = |share: f64, service_ms: f64, rate: f64| Facts {
        inputs: given(&[
            (Input::HotKey, share),
            (Input::ServiceMs, service_ms),
            (Input::Rate, rate),
        ]),
        ..Facts::default()
    };
    speaks(Lint::L8, &of(0.05, 10.0, 2000.0), &["2,000/s get through"]);
    is_kept(Lint::L8, &of(0.05, 10.0, 1999.0));
    // Measured: 30 of 300 records, 100/s.
    let hot = |cluster: &mut Cluster| {
        for record in cluster.topics[0].sample.iter_mut().take(30) {
            *record = by_murmur("hot", 8);
        }
    };
    speaks(
        Lint::L8,
        &live_with(&[(Input::ServiceMs, 100.0)], hot),
        &["topic orders", "10 %"],
    );
    is_kept(Lint::L8, &live_with(&[(Input::ServiceMs, 99.0)], hot));
    needs(Lint::L8, &live(hot), "service_ms");
    let few = |cluster: &mut Cluster| cluster.topics[0].sample.truncate(199);
    needs(
        Lint::L8,
        &live_with(&[(Input::ServiceMs, 100.0)], few),
        "200 records",
    );
}
