//! What must be true afterwards. These checks know the databases and the log, not Keylane's insides.

use std::collections::BTreeMap;
use std::process::Command;

use super::harness::Road;

/// Both sides are equal in every column of every row.
pub fn equal(road: &Road) {
    for table in [
        "pgbench_accounts",
        "pgbench_branches",
        "pgbench_tellers",
        "pgbench_history",
        "counters",
        "notes",
    ] {
        let sql = format!(
            "select count(*), md5(coalesce(string_agg(t::text, E'\\n' order by t::text collate \"C\"), '')) from {table} t"
        );
        let origin = road
            .origin
            .psql("postgres", &sql)
            .expect("the origin answers");
        let replica = road
            .replica
            .psql("postgres", &sql)
            .expect("the replica answers");
        assert_eq!(
            origin,
            replica,
            "seed {}: {table} differs (count, md5)\n{}",
            road.options.seed,
            road.logs()
        );
    }
}

/// The audit counted each change exactly once and never a step back.
pub fn exactly_once(road: &Road) {
    let broken = road
        .replica
        .psql(
            "postgres",
            "select count(*) from (select version, old_version, lag(version) over (partition by id order by seq) as before
               from audit where tbl = 'counters' and op = 'UPDATE') a
             where version <> old_version + 1 or (before is not null and version <> before + 1)",
        )
        .expect("the replica answers");
    assert_eq!(
        broken.trim(),
        "0",
        "seed {}: counters were not counted one by one",
        road.options.seed
    );
    // Of each table, effects since the audit began = changes at the origin since then: what pgbench's history says of the accounts must fit.
    let per_account = road
        .replica
        .psql(
            "postgres",
            "with updates as (select id, count(*) n from audit where tbl = 'accounts' and op = 'UPDATE' group by id),
                  inserts as (select id, count(*) n from audit where tbl = 'history' and op = 'INSERT' group by id)
             select count(*) from updates full join inserts using (id) where updates.n is distinct from inserts.n",
        )
        .expect("the replica answers");
    let open = per_account.trim().parse::<u64>().expect("a count");
    // A transaction that was half applied when the audit began shows as one account whose two changes were parted by that moment.
    assert!(
        open <= 8,
        "seed {}: {open} accounts were updated more or less often than their history says",
        road.options.seed
    );
    let other = road
        .replica
        .psql("postgres", "select count(*) from audit where tbl <> 'counters' and op <> (case tbl when 'history' then 'INSERT' else 'UPDATE' end)")
        .expect("the replica answers");
    assert_eq!(
        other.trim(),
        "0",
        "seed {}: effects that no change of the workload has",
        road.options.seed
    );
}

/// Read as any consumer would: in each partition, accepted records have ascending positions, none twice.
pub fn no_position_twice(road: &Road) {
    let bootstrap = road.kafka.bootstrap();
    keylane_parts::ensure_installed(&[keylane_parts::Tool::Kcat]).expect("kcat");
    let list = Command::new("kcat")
        .args(["-b", &bootstrap, "-L", "-J"])
        .output()
        .expect("kcat lists");
    let list: serde_json::Value =
        serde_json::from_slice(&list.stdout).expect("kcat's list is JSON");
    let topics = list["topics"].as_array().expect("topics");
    let names = topics
        .iter()
        .filter_map(|topic| topic["topic"].as_str())
        .filter(|name| name.starts_with("chaos.public."));
    let mut records = 0;
    for name in names {
        let format = "%p\t%o\t%h\n";
        let read = Command::new("kcat")
            .args(["-b", &bootstrap, "-C", "-e", "-q", "-t", name, "-f", format])
            .output()
            .expect("kcat reads");
        records += ascending(name, &String::from_utf8_lossy(&read.stdout));
    }
    assert!(records > 0, "the topics hold changes");
}

fn ascending(topic: &str, text: &str) -> usize {
    let mut epochs: BTreeMap<&str, u64> = BTreeMap::new();
    let mut reached: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    let mut records = 0;
    for line in text.lines() {
        let mut columns = line.splitn(3, '\t');
        let (Some(partition), Some(offset), Some(headers)) =
            (columns.next(), columns.next(), columns.next())
        else {
            continue;
        };
        let header = headers.split("keylane=").nth(1);
        assert!(
            header.is_some(),
            "{topic}/{partition}@{offset} has no header"
        );
        let header = header.unwrap_or_default();
        let field = |name: &str| header.split(' ').find_map(|field| field.strip_prefix(name));
        let epoch = u64::from_str_radix(field("e=").expect("an epoch"), 16).expect("hexadecimal");
        let current = epochs.entry(partition).or_default();
        match field("k=").expect("a kind") {
            "o" => *current = (*current).max(epoch),
            "c" if epoch == *current => {
                let (commit, ordinal) = field("p=")
                    .and_then(|text| text.split_once('.'))
                    .expect("a position");
                let hex = |text: &str| u64::from_str_radix(text, 16).expect("hexadecimal");
                let position = (hex(commit), hex(ordinal));
                let before = reached.insert(partition, position);
                assert!(
                    before < Some(position),
                    "{topic}/{partition}@{offset}: position {position:x?} after {before:x?}"
                );
                records += 1;
            }
            _ => {}
        }
    }
    records
}
