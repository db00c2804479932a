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

/// Each counter's audit reads n, n+1, n+2, … without a gap, a repeat or a step back.
pub fn one_by_one(road: &Road) {
    let sql = "select count(*) from (
                 select version, old_version, lag(version) over (partition by id order by seq) as before
                   from proof.audit where tbl = 'counters' and op = 'UPDATE') a
               where version <> old_version + 1 or version <> before + 1";
    none(road, sql, "counters were not counted one by one");
    let sql = "select count(*) from proof.audit where tbl = 'counters' and op <> 'UPDATE'";
    none(road, sql, "counters came or went");
}

/// Each note comes at most once, is changed from what it was, and goes at most once: an insert, updates, a delete.
pub fn notes_come_and_go_once(road: &Road) {
    let sql = "select count(*) from (
                 select op, was, lag(op) over (partition by id order by seq) as before_op,
                        lag(now) over (partition by id order by seq) as before
                   from proof.audit where tbl = 'notes') a
               where (op = 'INSERT' and before_op is not null) or before_op = 'DELETE' or was <> before";
    none(road, sql, "notes came, changed or went out of order");
}

fn none(road: &Road, sql: &str, broken: &str) {
    let found = road
        .replica
        .psql("postgres", sql)
        .expect("the replica answers");
    assert_eq!(found.trim(), "0", "seed {}: {broken}", road.options.seed);
}

/// Read as any consumer would: in each partition, accepted records have ascending positions, none twice.
pub fn no_position_twice(bootstrap: &str, topics_from: &str) {
    keylane_parts::ensure_installed(&[keylane_parts::Tool::Kcat]).expect("kcat");
    let list = Command::new("kcat")
        .args(["-b", bootstrap, "-L", "-J"])
        .output()
        .expect("kcat lists");
    let list: serde_json::Value =
        serde_json::from_slice(&list.stdout).expect("kcat's list is JSON");
    let topics = list["topics"].as_array().expect("topics");
    let names = topics
        .iter()
        .filter_map(|topic| topic["topic"].as_str())
        .filter(|name| name.starts_with(topics_from));
    let mut records = 0;
    for name in names {
        let format = "%p\t%o\t%h\n";
        let read = Command::new("kcat")
            .args(["-b", bootstrap, "-C", "-e", "-q", "-t", name, "-f", format])
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
