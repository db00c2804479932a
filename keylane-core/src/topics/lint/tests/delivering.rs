//! L9 to L14, L19, L21, L22.

use super::*;

#[test]
fn l9_speaks_of_eager_groups_and_of_the_classic_protocol_where_there_is_a_better_one() {
    let classic = [("group.protocol", "")];
    speaks(Lint::L9, &client(&classic), &["default is eager"]);
    let range = [
        ("group.protocol", ""),
        ("partition.assignment.strategy", "range"),
    ];
    speaks(Lint::L9, &client(&range), &["range is eager"]);
    let sticky = [
        ("group.protocol", ""),
        ("partition.assignment.strategy", "cooperative-sticky"),
    ];
    // Without a cluster nothing better is known.
    is_kept(Lint::L9, &client(&sticky));
    is_kept(Lint::L9, &client(&[]));
    let on_brokers = Facts {
        cluster: live(|_| {}).cluster,
        ..client(&sticky)
    };
    speaks(Lint::L9, &on_brokers, &["group.protocol=consumer"]);
    let eager = |cluster: &mut Cluster| cluster.groups[0].assignor = Some("range".to_owned());
    speaks(Lint::L9, &live(eager), &["group readers", "range"]);
    is_kept(Lint::L9, &live(|_| {}));
    let of_pipeline = |consumer_protocol: bool| Facts {
        cluster: live(|_| {}).cluster,
        ..configured(|pipeline| pipeline.consumer_protocol = consumer_protocol)
    };
    speaks(Lint::L9, &of_pipeline(false), &["pipeline shop"]);
    is_kept(Lint::L9, &of_pipeline(true));
}

#[test]
fn l10_speaks_of_a_poll_whose_work_outlasts_its_interval() {
    let of = |records: &str, service_ms: f64| {
        client_with(
            &[(Input::ServiceMs, service_ms)],
            &[
                ("max.poll.records", records),
                ("max.poll.interval.ms", "60000"),
            ],
        )
    };
    // 500 × 120 ms = 60 s.
    speaks(Lint::L10, &of("500", 120.0), &["60,000 ms"]);
    is_kept(Lint::L10, &of("500", 119.0));
    needs(
        Lint::L10,
        &client(&[("max.poll.records", "500")]),
        "service_ms",
    );
    is_kept(Lint::L10, &configured(|_| {}));
}

#[test]
fn l11_speaks_of_offsets_that_are_committed_by_the_clock() {
    speaks(
        Lint::L11,
        &client(&[("enable.auto.commit", "")]),
        &["default is true"],
    );
    speaks(
        Lint::L11,
        &client(&[("enable.auto.commit", "true")]),
        &["=true"],
    );
    is_kept(Lint::L11, &client(&[]));
    // librdkafka commits what was stored; who stores what is done is right.
    let stored = [
        ("enable.auto.commit", "true"),
        ("enable.auto.offset.store", "false"),
    ];
    is_kept(Lint::L11, &client(&stored));
    is_kept(Lint::L11, &configured(|_| {}));
}

#[test]
fn l12_speaks_of_latest_and_of_a_retention_below_an_absence() {
    speaks(
        Lint::L12,
        &client(&[("auto.offset.reset", "latest")]),
        &["=latest"],
    );
    speaks(
        Lint::L12,
        &client(&[("auto.offset.reset", "")]),
        &["default is latest"],
    );
    is_kept(Lint::L12, &client(&[]));
    let kept = |ms: &'static str| {
        live(move |cluster| {
            let settings = &mut cluster.topics[0].settings;
            settings.insert("retention.ms".to_owned(), ms.to_owned());
        })
    };
    // 72 h are assumed.
    speaks(
        Lint::L12,
        &kept("86400000"),
        &["24 h", "3 days", "retention.ms=259200000"],
    );
    is_kept(Lint::L12, &kept("259200000"));
    is_kept(Lint::L12, &kept("-1"));
    let log = |hours: f64| configured(move |pipeline| pipeline.retention_hours = Some(hours));
    speaks(Lint::L12, &log(24.0), &["pipeline shop"]);
    is_kept(Lint::L12, &log(168.0));
}

#[test]
fn l13_speaks_of_readers_of_what_was_never_committed() {
    let uncommitted = [("isolation.level", "read_uncommitted")];
    let on = |transactions: bool, settings: &[(&str, &str)]| Facts {
        cluster: live(|cluster| cluster.transactions = transactions).cluster,
        ..client(settings)
    };
    speaks(
        Lint::L13,
        &on(true, &uncommitted),
        &["read_uncommitted", "the cluster"],
    );
    is_kept(Lint::L13, &on(false, &uncommitted));
    is_kept(Lint::L13, &on(true, &[]));
    let java = [("isolation.level", ""), ("key.deserializer", "x")];
    speaks(Lint::L13, &on(true, &java), &["Java's default"]);
    let rust = [
        ("isolation.level", ""),
        ("enable.auto.offset.store", "false"),
    ];
    is_kept(Lint::L13, &on(true, &rust));
    needs(Lint::L13, &client(&uncommitted), "transactions");
    let mut writer = client(&uncommitted);
    writer
        .clients
        .push(named("writer", &[("transactional.id", "w")]));
    speaks(Lint::L13, &writer, &["client writer writes transactions"]);
}

#[test]
fn l14_speaks_of_a_compacted_topic_whose_readers_count() {
    let compact = |cluster: &mut Cluster| {
        let settings = &mut cluster.topics[0].settings;
        settings.insert("cleanup.policy".to_owned(), "compact".to_owned());
    };
    speaks(
        Lint::L14,
        &live_with(&[(Input::Counts, 1.0)], compact),
        &["readers count"],
    );
    is_kept(Lint::L14, &live_with(&[(Input::Counts, 0.0)], compact));
    needs(Lint::L14, &live(compact), "counts");
    is_kept(Lint::L14, &live(|_| {}));
    let of_pipeline = Facts {
        cluster: live(compact).cluster,
        ..configured(|_| {})
    };
    speaks(
        Lint::L14,
        &of_pipeline,
        &["topic orders", "pipeline's changes"],
    );
    let set = |pipeline: &mut Pipeline| {
        let policy = ("cleanup.policy".to_owned(), "compact,delete".to_owned());
        pipeline.settings.extend([policy]);
    };
    speaks(Lint::L14, &configured(set), &["compact,delete"]);
}

#[test]
fn l19_speaks_of_static_members_that_restart_too_slowly() {
    let of = |session_ms: u64| {
        configured(move |pipeline| {
            pipeline.is_static = true;
            pipeline.consumer_protocol = false;
            pipeline.session_timeout_ms = session_ms;
        })
    };
    // 30 s are assumed.
    speaks(
        Lint::L19,
        &of(10_000),
        &["pipeline shop", "10,000 ms", "30,000 ms"],
    );
    is_kept(Lint::L19, &of(30_000));
    is_kept(Lint::L19, &configured(|_| {}));
    let member = [
        ("group.protocol", ""),
        ("group.instance.id", "a"),
        ("session.timeout.ms", "6000"),
    ];
    speaks(Lint::L19, &client(&member), &["6,000 ms"]);
    is_kept(Lint::L19, &client(&member[..2]));
}

#[test]
fn l21_speaks_of_fetches_that_fill_a_buffer_with_one_partition() {
    let of = |threads: f64, fetch: &'static str| {
        client_with(
            &[(Input::RecordBytes, 100.0), (Input::Threads, threads)],
            &[("max.partition.fetch.bytes", fetch)],
        )
    };
    // 16,384 ÷ 100 B = 164 records.
    speaks(
        Lint::L21,
        &of(16.0, "16384"),
        &["164 records", "16 are worked on"],
    );
    is_kept(Lint::L21, &of(17.0, "16384"));
    is_kept(Lint::L21, &of(1.0, ""));
    speaks(Lint::L21, &of(100.0, ""), &["1.05 MB"]);
    needs(Lint::L21, &client(&[]), "record_bytes");
    is_kept(Lint::L21, &configured(|_| {}));
}

#[test]
fn l22_speaks_of_a_group_at_work_that_keeps_no_offset() {
    let none = |cluster: &mut Cluster| cluster.groups[0].committed = 0;
    speaks(Lint::L22, &live(none), &["group readers", "no offset"]);
    is_kept(Lint::L22, &live(|_| {}));
    // Nothing was there to be read.
    let empty = |cluster: &mut Cluster| {
        none(cluster);
        cluster.topics[0].records = 0;
    };
    is_kept(Lint::L22, &live(empty));
    needs(Lint::L22, &live(|cluster| cluster.groups.clear()), "group");
}
