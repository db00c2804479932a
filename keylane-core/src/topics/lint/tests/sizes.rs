//! L1, L2, L3, L18, L20, and what stands behind: L15, L16, L17.

use super::*;

#[test]
fn l1_speaks_of_less_partitions_than_throughput_or_processes_ask_for() {
    // 200,000/s × 500 B ÷ 10 MB/s = 10.
    let fast = |cluster: &mut Cluster| cluster.topics[0].records_per_s = Some(200_000.0);
    speaks(
        Lint::L1,
        &live(fast),
        &["topic orders", "8 partitions", "= 10"],
    );
    speaks(
        Lint::L1,
        &live_with(&[(Input::Instances, 9.0)], |_| {}),
        &["processes: 9"],
    );
    // One thread for each partition: 100/s × 100 ms = 10.
    speaks(
        Lint::L1,
        &live_with(&[(Input::ServiceMs, 100.0)], |_| {}),
        &["t/c: 10"],
    );
    is_kept(Lint::L1, &live_with(&[(Input::Instances, 8.0)], |_| {}));
    needs(
        Lint::L1,
        &live(|cluster| cluster.topics[0].records_per_s = None),
        "--sample",
    );
    // 2 × 3 × 10,000/s × 1 kB = 60 MB/s: 6 partitions.
    let of_plan = |partitions: u32| {
        configured(|pipeline| {
            pipeline.topics.insert("orders".to_owned(), partitions);
            pipeline.planned = Some(planned(10_000.0, ("orders", "order_id")));
        })
    };
    speaks(
        Lint::L1,
        &of_plan(5),
        &["5 partitions are configured", "needs 6"],
    );
    is_kept(Lint::L1, &of_plan(6));
    needs(Lint::L1, &configured(|_| {}), "origin");
}

#[test]
fn l2_speaks_of_a_broker_with_too_many_replicas() {
    // 100 × 3 brokers × 3 copies.
    let holding = |replicas: u64| {
        move |cluster: &mut Cluster| {
            cluster.replicas.insert(2, replicas);
        }
    };
    speaks(Lint::L2, &live(holding(901)), &["broker 2", "901", "900"]);
    is_kept(Lint::L2, &live(holding(900)));
    let any = [(Input::Latency, 0.0)];
    is_kept(Lint::L2, &live_with(&any, holding(4000)));
    speaks(Lint::L2, &live_with(&any, holding(4001)), &["4,000"]);
}

#[test]
fn l3_speaks_of_a_broker_that_leads_more_than_its_crash_may_cost() {
    let leading = |leaders: u64| {
        move |cluster: &mut Cluster| {
            cluster.leaders.insert(3, leaders);
        }
    };
    speaks(Lint::L3, &live(leading(1001)), &["broker 3", "5,005 ms"]);
    is_kept(Lint::L3, &live(leading(1000)));
}

#[test]
fn l15_speaks_of_batches_larger_than_a_poll_or_the_protocol() {
    let of = |rows: f64, columns: f64, polled: &str| {
        let inputs = [(Input::BatchRows, rows), (Input::Columns, columns)];
        client_with(&inputs, &[("max.poll.records", polled)])
    };
    speaks(
        Lint::L15,
        &of(600.0, 10.0, "500"),
        &["client app", "600", "500"],
    );
    speaks(
        Lint::L15,
        &of(5000.0, 20.0, "5000"),
        &["100,000 parameters"],
    );
    is_kept(Lint::L15, &of(500.0, 131.0, "500"));
    needs(Lint::L15, &client(&[]), "batch_rows");
    is_kept(Lint::L15, &configured(|_| {}));
}

#[test]
fn l16_speaks_of_less_connections_than_are_wanted() {
    speaks(
        Lint::L16,
        &configured(|pipeline| pipeline.connections = Some((35, 3))),
        &["threads_max 32", "wants 36", "takes 35"],
    );
    is_kept(
        Lint::L16,
        &configured(|pipeline| pipeline.connections = Some((36, 3))),
    );
    let of = |pool: f64, most: f64| {
        client_with(
            &[
                (Input::Pool, pool),
                (Input::Threads, 16.0),
                (Input::Instances, 10.0),
                (Input::ConnectionsMax, most),
            ],
            &[],
        )
    };
    speaks(Lint::L16, &of(8.0, 100.0), &["8 connections for 16"]);
    speaks(Lint::L16, &of(16.0, 100.0), &["= 160", "takes 100"]);
    is_kept(Lint::L16, &of(16.0, 160.0));
}

#[test]
fn l17_speaks_of_copies_that_do_not_outlast_a_broker() {
    speaks(
        Lint::L17,
        &live(|cluster| cluster.topics[0].copies_min = 2),
        &["topic orders", "2 copies"],
    );
    let in_sync = |cluster: &mut Cluster| {
        let settings = &mut cluster.topics[0].settings;
        settings.insert("min.insync.replicas".to_owned(), "1".to_owned());
    };
    speaks(Lint::L17, &live(in_sync), &["min.insync.replicas=1"]);
    // A cluster of one broker: said once, not for each topic.
    let alone = |cluster: &mut Cluster| {
        cluster.replicas = BTreeMap::from([(1, 100)]);
        cluster.topics.push(topic("other"));
        for topic in &mut cluster.topics {
            topic.copies_min = 1;
        }
    };
    speaks(Lint::L17, &live(alone), &["1 brokers", "2 topics"]);
    is_kept(Lint::L17, &live(|_| {}));
    speaks(
        Lint::L17,
        &configured(|pipeline| pipeline.copies = 1),
        &["replication_factor is 1"],
    );
}

#[test]
fn l18_speaks_of_thousands_of_topics_in_which_nothing_happens() {
    let many = |count: u32, rate: f64| {
        live(move |cluster| {
            let quiet = |number| Topic {
                name: format!("quiet{number}"),
                records_per_s: Some(rate),
                ..Topic::default()
            };
            cluster.topics = (0..count).map(quiet).collect();
        })
    };
    speaks(Lint::L18, &many(1000, 0.5), &["1000 topics"]);
    is_kept(Lint::L18, &many(1000, 1.0));
    is_kept(Lint::L18, &many(999, 0.5));
    let mut unmeasured = many(1000, 0.5);
    unmeasured.cluster.as_mut().expect("there").sampled_s = 0.0;
    needs(Lint::L18, &unmeasured, "--sample");
}

#[test]
fn l20_speaks_of_partitions_that_nobody_works_on() {
    let of = |partitions: u32, inputs: &[(Input, f64)]| {
        live_with(inputs, |cluster| cluster.topics[0].partitions = partitions)
    };
    let two = [(Input::Instances, 1.0), (Input::Cores, 2.0)];
    speaks(
        Lint::L20,
        &of(9, &two),
        &["9 partitions", "1 processes × 2 cores"],
    );
    is_kept(Lint::L20, &of(8, &two));
    needs(Lint::L20, &of(9, &[]), "instances");
    needs(Lint::L20, &of(9, &two[..1]), "cores");
}
