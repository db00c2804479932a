//! What happened to each row, written down by triggers on both sides that know nothing of Keylane.
//!
//! The origin's audit is the expectation: what is rolled back there leaves no trace. The replica's must tell the same of each row, effect by effect, in the
//! same order. A change of the key counts as a delete and an insert, as both sides may write it either way.

use std::collections::BTreeMap;

/// Asks one side's database.
pub type Ask<'a> = &'a dyn Fn(&str) -> String;

/// In a schema of its own, which is not captured.
const AUDIT: &str = "
    create schema proof;
    create table proof.audit(seq bigserial primary key, tbl text not null, id bigint not null, op text not null,
                             was bigint, now bigint, old_version int, version int);
    create function proof.audited() returns trigger language plpgsql as $$
      declare
        key text := tg_argv[0];
        was jsonb := to_jsonb(old);
        now jsonb := to_jsonb(new);
      begin
        if tg_op = 'UPDATE' and was->>key <> now->>key then
          insert into proof.audit(tbl, id, op, was) values (tg_table_name, (was->>key)::bigint, 'DELETE', hashtextextended(was::text, 0));
          insert into proof.audit(tbl, id, op, now) values (tg_table_name, (now->>key)::bigint, 'INSERT', hashtextextended(now::text, 0));
        else
          insert into proof.audit(tbl, id, op, was, now, old_version, version)
            values (tg_table_name, (coalesce(now, was)->>key)::bigint, tg_op, hashtextextended(was::text, 0), hashtextextended(now::text, 0),
                    (was->>'version')::int, (now->>'version')::int);
        end if;
        return null;
      end $$;";

/// Starts writing down what happens to these tables, each with the column that tells its rows apart, on both sides. Only while nobody writes and the replica
/// holds everything: then both audits begin at the same moment.
pub fn begin(origin: Ask<'_>, replica: Ask<'_>, tables: &[(&str, &str)]) {
    for side in [origin, replica] {
        side(AUDIT);
        for (table, key) in tables {
            side(&format!(
                "create trigger audited after insert or update or delete on {table} for each row execute function proof.audited('{key}')"
            ));
        }
    }
}

/// How many effects this side has seen. It never sinks.
pub fn effects(side: Ask<'_>) -> u64 {
    let count = side("select coalesce(max(seq), 0) from proof.audit");
    count.trim().parse().expect("a number")
}

/// Each row's story on both sides, of which none may differ. `logs` is for a failure's reader.
pub fn same_stories(origin: Ask<'_>, replica: Ask<'_>, logs: &dyn Fn() -> String) {
    let (expected, found) = (stories(origin), stories(replica));
    let effects: u64 = expected.values().map(|(effects, _)| effects).sum();
    assert!(effects > 0, "the audit saw nothing happen at the origin");
    let rows = expected.keys().chain(found.keys());
    let different: Vec<&String> = rows
        .filter(|row| expected.get(*row) != found.get(*row))
        .collect();
    let first = different.first().map_or("", |row| row.as_str());
    assert!(
        different.is_empty(),
        "{} rows had another story at the replica, the first {first}:\norigin\n{}\nreplica\n{}\n{}",
        different.len(),
        told(origin, first),
        told(replica, first),
        logs()
    );
    eprintln!(
        "{effects} effects on {} rows, each once and in order",
        expected.len()
    );
}

/// `TABLE|ID` → how many effects, and a digest of all of them in order.
fn stories(side: Ask<'_>) -> BTreeMap<String, (u64, String)> {
    let sql = "select tbl || '|' || id, count(*), md5(string_agg(op || coalesce(was, 0) || '>' || coalesce(now, 0), ',' order by seq))
               from proof.audit group by tbl, id";
    let text = side(sql);
    let story = |line: &str| {
        let (rest, digest) = line.rsplit_once('|')?;
        let (row, effects) = rest.rsplit_once('|')?;
        Some((row.to_owned(), (effects.parse().ok()?, digest.to_owned())))
    };
    text.lines()
        .map(|line| story(line).expect("a row's story"))
        .collect()
}

/// The end of one row's story, for a failure's reader.
fn told(side: Ask<'_>, row: &str) -> String {
    let Some((table, id)) = row.split_once('|') else {
        return String::new();
    };
    let sql = format!(
        "select * from (select seq, op, was, now, old_version, version from proof.audit where tbl = '{table}' and id = {id} order by seq desc limit 20) a
         order by seq"
    );
    side(&sql)
}
