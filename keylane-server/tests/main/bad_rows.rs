//! Rows that the replica does not take: parked alone with their keys' later changes, told without a row's values, and redriven once the cause is mended.

use serde_json::Value;

use crate::bed::{Bed, left_out};
use crate::running::Running;

/// A value that must appear in no message.
const SECRET: &str = "hush-5d21";

/// A table whose replica refuses what the origin takes.
struct Case {
    table: &'static str,
    /// How the replica's table differs.
    replica: &'static str,
    code: &'static str,
    /// What the error says besides the code.
    says: &'static str,
    /// What mends it at the replica.
    mend: &'static str,
}

const CASES: [Case; 4] = [
    Case {
        table: "narrow",
        replica: "alter table narrow alter column v type varchar(3)",
        code: "KL-APPLY-004",
        says: "narrow",
        mend: "alter table narrow alter column v type text",
    },
    Case {
        table: "checked",
        replica: "alter table checked add constraint short check (length(v) < 4)",
        code: "KL-APPLY-004",
        says: "short",
        mend: "alter table checked drop constraint short",
    },
    Case {
        table: "lone",
        replica: "create unique index only_one on lone (v); insert into lone values (100, 'hush-5d21')",
        code: "KL-APPLY-003",
        says: "only_one",
        mend: "delete from lone where id = 100",
    },
    Case {
        table: "child",
        replica: "create table parent(v text primary key); insert into parent values ('ok');
                  alter table child add constraint has_parent foreign key (v) references parent(v)",
        code: "KL-APPLY-003",
        says: "has_parent",
        mend: "alter table child drop constraint has_parent",
    },
];

/// Writes to each table: a key that the replica refuses, changed again later, and one that it takes.
fn write(bed: &Bed) {
    for Case { table, .. } in CASES {
        bed.origin_sql(&format!(
            "insert into {table} values (1, '{SECRET}'), (2, 'ok'); update {table} set n = 7 where id = 1"
        ));
    }
}

/// The parked keys of a table, which are as scripts rely on.
fn parked_of(bed: &Bed, table: &str) -> Vec<Value> {
    let mut all = bed.parked();
    all.retain(|key| key["table"] == format!("public.{table}"));
    for key in &all {
        assert!(key["id"].is_i64() && key["attempts"].is_u64(), "{key}");
        assert_eq!(key["pipeline"], bed.name, "{key}");
        let since = key["since"].as_str().unwrap_or_default();
        assert!(since.starts_with("20") && since.ends_with('Z'), "{key}");
    }
    all
}

fn says_nothing_secret(bed: &Bed, road: &Running) {
    let parked = bed.run(&["parked", "list"]);
    for text in [road.log(), format!("{parked:?}"), bed.status().to_string()] {
        assert!(!text.contains(SECRET), "{text}");
    }
}

#[test]
fn a_row_that_the_replica_s_own_constraints_refuse_is_parked_alone_and_redriven_once_they_are_mended()
 {
    if left_out() {
        return;
    }
    let tables = CASES.map(|case| {
        let table = case.table;
        format!("create table {table}(id int primary key, v text, n int default 0);")
    });
    let bed = Bed::new("bad_rows", &tables.concat());
    for case in CASES {
        bed.replica_sql(case.replica);
    }
    let road = bed.start(&[]);
    bed.settle(&road);
    write(&bed);
    // Other keys of these tables go on.
    bed.settle(&road);
    for case in CASES {
        let taken = format!(
            "select string_agg(id::text, ' ' order by id) from {} where v = 'ok'",
            case.table
        );
        assert_eq!(bed.replica_sql(&taken), "2", "{}", case.table);
        let parked = parked_of(&bed, case.table);
        assert_eq!(parked.len(), 1, "{parked:?}");
        let (code, error) = (&parked[0]["error_code"], &parked[0]["error"]);
        assert_eq!(code, case.code, "{parked:?}");
        assert!(
            error.as_str().unwrap_or_default().contains(case.says),
            "{error}"
        );
        assert_eq!(parked[0]["behind"], 1, "{parked:?}");
    }
    assert_eq!(bed.status()["parked"], CASES.len());
    says_nothing_secret(&bed, &road);
    for case in CASES {
        let id = parked_of(&bed, case.table)[0]["id"].to_string();
        // Not mended yet: it stays parked, and the command says so.
        let again = bed.json(&["parked", "redrive", &id, "--format", "json"], 1);
        assert_eq!(again["applied"], 0, "{again}");
        assert_eq!(again["still_parked"][0]["error_code"], case.code, "{again}");
        bed.replica_sql(case.mend);
        let done = bed.json(&["parked", "redrive", &id, "--format", "json"], 0);
        assert_eq!(done["applied"], 1, "{done}");
    }
    bed.settle(&road);
    bed.assert_equal(&CASES.map(|case| case.table));
    assert!(bed.parked().is_empty());
    says_nothing_secret(&bed, &road);
    road.terminate();
}

#[test]
fn a_table_that_the_replica_lacks_and_may_not_be_given_is_parked_and_the_others_go_on() {
    if left_out() {
        return;
    }
    let bed = Bed::bare("bad_missing");
    bed.origin_sql("create table absent(id int primary key, v text); create table there(id int primary key, v text); insert into absent values (1, 'a')");
    bed.replica_sql("create table there(id int primary key, v text)");
    let mut wiring = bed.wiring();
    wiring.apply = "create_tables: false, on_error: { retry: 2 }, parked_keys_max: 5".to_owned();
    bed.configure(&[wiring]);
    let check = bed.failed_check("replica.table");
    assert!(
        check["subject"]
            .as_str()
            .unwrap_or_default()
            .contains("public.absent"),
        "{check}"
    );
    let mut road = bed.start(&[]);
    bed.settle(&road);
    bed.origin_sql("insert into absent values (2, 'b'); update absent set v = 'c' where id = 1; insert into there values (1, 'a')");
    bed.settle(&road);
    bed.assert_equal(&["there"]);
    let parked = parked_of(&bed, "absent");
    assert_eq!(parked.len(), 2, "{parked:?}");
    for key in &parked {
        assert_eq!(key["error_code"], "KL-APPLY-005", "{key}");
        assert!(
            key["error"].as_str().unwrap_or_default().contains("absent"),
            "{key}"
        );
    }
    // One cause parks every key of the table: past the bound the pipeline stops and says where to look.
    bed.origin_sql("insert into absent select id, 'x' from generate_series(3, 20) id");
    let end = road.await_end();
    assert_eq!(end, Some(1), "{}", road.log());
    for word in ["KL-APPLY-013", "keylane parked list"] {
        assert!(road.log().contains(word), "{}", road.log());
    }
    let status = bed.status();
    assert!(
        status["state"] == "stopped" && status["why"].to_string().contains("KL-APPLY-013"),
        "{status}"
    );
    bed.replica_sql("create table absent(id int primary key, v text)");
    let asked = bed.json(&["parked", "redrive", "--all", "--format", "json"], 0);
    assert_eq!(asked["applier_runs"], false, "{asked}");
    let road = bed.start(&[]);
    bed.wait(&road, "the parked keys to be redriven", || {
        bed.parked().is_empty()
    });
    bed.settle(&road);
    bed.assert_equal(&["absent", "there"]);
    road.terminate();
}
