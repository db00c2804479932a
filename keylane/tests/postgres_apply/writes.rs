//! Every kind of write, in every mode.

use keylane_core::apply::{Applied, Mode};
use keylane_core::error::ApplyErrorKind;
use keylane_core::model::{Change, Op};

use super::bed::{Bed, MODES, change, delete, insert, row, shape, update};

/// Applies changes to a fresh table in each mode and compares what is left.
async fn check(
    database: &str,
    ddl: &str,
    before: &str,
    changes: &[Change],
    select: &str,
    expect: &str,
    missing: u64,
) {
    let Some(bed) = Bed::new(database).await else {
        return;
    };
    for mode in MODES {
        bed.sql(&format!("DROP TABLE IF EXISTS t CASCADE; {ddl}; {before}"));
        let mut lane = bed.lane(0).await;
        let batch = lane.batch(mode, changes);
        let applied = bed.session().await.apply(&batch).await.expect("applied");
        assert_eq!(applied.failed, None, "{mode:?}");
        assert_eq!(bed.sql(select), expect, "{mode:?}");
        assert_eq!(counted(&applied), missing, "missing in {mode:?}");
    }
}

fn counted(applied: &Applied) -> u64 {
    applied.missing.values().sum()
}

const KEYED: &str = "CREATE TABLE t (id int PRIMARY KEY, v text, w text)";
const ALL: &str = "SELECT * FROM t ORDER BY id";

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_inserted_updated_and_deleted_by_key() {
    let t = shape("t", 1, &["id integer", "v text", "w text"]);
    let changes = [
        insert(&t, 1, &["1", "a", "NULL"]),
        insert(&t, 2, &["2", "b", "x"]),
        insert(&t, 3, &["9", "there already", "y"]),
        update(&t, 4, &["8", "changed", "NULL"]),
        delete(&t, 5, &["7", "ABSENT", "ABSENT"]),
        change(&t, Op::Read, 6, None, Some(&["3", "read", "z"])),
    ];
    check(
        "apply_keyed",
        KEYED,
        "INSERT INTO t VALUES (7, 'old', 'w'), (8, 'old', 'w'), (9, 'old', 'w')",
        &changes,
        ALL,
        "1|a|\n2|b|x\n3|read|z\n8|changed|\n9|there already|y",
        0,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_without_its_row_is_counted_and_inserted_and_a_partial_one_only_counted() {
    let t = shape("t", 1, &["id integer", "v text", "w text"]);
    let changes = [
        update(&t, 1, &["1", "a", "b"]),
        update(&t, 2, &["2", "there", "b"]),
        update(&t, 3, &["3", "ABSENT", "c"]),
        delete(&t, 4, &["4", "ABSENT", "ABSENT"]),
        update(&t, 5, &["5", "kept?", "ABSENT"]),
    ];
    check(
        "apply_missing",
        KEYED,
        "INSERT INTO t VALUES (2, 'old', 'old'), (5, 'old', 'stays')",
        &changes,
        ALL,
        "1|a|b\n2|there|b\n5|kept?|stays",
        3,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_is_renamed_in_place_when_only_the_old_one_holds_its_columns() {
    let t = shape("t", 1, &["id integer", "v text", "w text"]);
    let mut renamed = insert(&t, 1, &["2", "new", "ABSENT"]);
    renamed.moved_from = Some(row(&t, &["1", "ABSENT", "ABSENT"]));
    let mut lost = insert(&t, 2, &["12", "new", "ABSENT"]);
    lost.moved_from = Some(row(&t, &["11", "ABSENT", "ABSENT"]));
    let changes = [renamed, lost];
    for (database, ddl) in [
        ("apply_move", KEYED),
        (
            "apply_move_identity",
            "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text, w text)",
        ),
    ] {
        let before = "INSERT INTO t OVERRIDING SYSTEM VALUE VALUES (1, 'old', 'large')";
        check(database, ddl, before, &changes, ALL, "2|new|large", 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn identity_and_generated_columns_are_written_as_they_should_be() {
    let t = shape("t", 1, &["id integer", "v text", "twice text"]);
    let changes = [
        insert(&t, 1, &["5", "a", "wrong"]),
        update(&t, 2, &["6", "b", "wrong"]),
        insert(&t, 3, &["6", "c", "wrong"]),
    ];
    check(
        "apply_identity_columns",
        "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text, twice text GENERATED ALWAYS AS (v || v) STORED)",
        "INSERT INTO t OVERRIDING SYSTEM VALUE VALUES (6, 'old')",
        &changes,
        ALL,
        "5|a|aa\n6|c|cc",
        0,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_one_of_several_equal_rows_without_a_key_is_changed() {
    let t = shape(
        "t",
        0,
        &["a integer", "j json", "n numeric", "f float8", "c text"],
    );
    let same = ["1", "{\"k\": 1}", "1.0", "NaN", "NULL"];
    let changes = [
        change(&t, Op::Insert, 1, None, Some(&same)),
        change(&t, Op::Insert, 2, None, Some(&same)),
        change(&t, Op::Insert, 3, None, Some(&same)),
        change(
            &t,
            Op::Insert,
            4,
            None,
            Some(&["1", "{\"k\": 1}", "1.00", "NaN", "NULL"]),
        ),
        change(&t, Op::Delete, 5, Some(&same), None),
        change(
            &t,
            Op::Update,
            6,
            Some(&same),
            Some(&["2", "{}", "1.0", "-0", "x"]),
        ),
        change(
            &t,
            Op::Delete,
            7,
            Some(&["3", "NULL", "NULL", "NULL", "NULL"]),
            None,
        ),
    ];
    check(
        "apply_unkeyed",
        "CREATE TABLE t (a int, j json, n numeric, f float8, c text)",
        "",
        &changes,
        "SELECT * FROM t ORDER BY a, n::text",
        "1|{\"k\": 1}|1.0|NaN|\n1|{\"k\": 1}|1.00|NaN|\n2|{}|1.0|-0|x",
        1,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncate_empties_the_table_at_its_place() {
    let t = shape("t", 1, &["id integer", "v text", "w text"]);
    let changes = [
        insert(&t, 1, &["1", "a", "NULL"]),
        change(&t, Op::Truncate, 2, None, None),
        insert(&t, 3, &["2", "b", "NULL"]),
    ];
    check(
        "apply_truncate",
        KEYED,
        "INSERT INTO t VALUES (7)",
        &changes,
        ALL,
        "2|b|",
        0,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncate_that_a_foreign_key_forbids_is_a_constraint_and_goes_once_no_row_refers_to_the_table()
 {
    let Some(bed) = Bed::new("apply_truncate_fk").await else {
        return;
    };
    bed.sql(
        "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE child (id int REFERENCES t);
         INSERT INTO t VALUES (1), (2); INSERT INTO child VALUES (1)",
    );
    let t = shape("t", 1, &["id integer"]);
    let mut lane = bed.lane(0).await;
    let batch = lane.batch(Mode::Folded, &[change(&t, Op::Truncate, 1, None, None)]);
    let mut session = bed.session().await;
    let error = session.apply(&batch).await.expect_err("forbidden");
    assert_eq!(error.kind, ApplyErrorKind::Constraint, "{error}");
    bed.sql("TRUNCATE child");
    session.apply(&batch).await.expect("nothing refers to it");
    assert_eq!(bed.sql("SELECT count(*) FROM t"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn any_names_are_written_and_one_name_in_two_schemas_is_two_tables() {
    let Some(bed) = Bed::new("apply_names").await else {
        return;
    };
    let odd = r#"a "b" Ünï.c t"#;
    bed.sql(&format!(
        r#"CREATE SCHEMA "Se lect"; CREATE TABLE "Se lect"."{0}" ("{0}" int PRIMARY KEY, "order" text, "t" text, "v" text, "c0" text);
           CREATE TABLE public."{0}" ("{0}" int PRIMARY KEY, "order" text, "t" text, "v" text, "c0" text)"#,
        odd.replace('"', "\"\"")
    ));
    // The helper splits at blanks and dots: put the odd name in by hand.
    let shaped = |schema: &str| {
        let plain = shape(
            &format!("{schema}.x"),
            1,
            &["k integer", "order text", "t text", "v text", "c0 text"],
        );
        let mut odd_one = (*plain).clone();
        odd_one.table = keylane_core::model::TableName::new(schema, odd);
        odd_one.columns[0].name = std::sync::Arc::from(odd);
        std::sync::Arc::new(odd_one.sealed())
    };
    let (one, two) = (shaped("Se lect"), shaped("public"));
    for mode in MODES {
        let mut lane = bed.lane(0).await;
        let changes = [
            insert(&one, 1, &["1", "a", "b", "c", "d"]),
            insert(&two, 2, &["1", "x", "b", "c", "d"]),
            update(&one, 3, &["1", "z", "b", "c", "e"]),
            delete(&two, 4, &["1", "ABSENT", "ABSENT", "ABSENT", "ABSENT"]),
        ];
        let batch = lane.batch(mode, &changes);
        bed.session().await.apply(&batch).await.expect("applied");
        let quoted = odd.replace('"', "\"\"");
        assert_eq!(
            bed.sql(&format!(r#"SELECT * FROM "Se lect"."{quoted}""#)),
            "1|z|b|c|e"
        );
        assert_eq!(
            bed.sql(&format!(r#"SELECT count(*) FROM public."{quoted}""#)),
            "0"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_changed_under_a_session_is_seen_anew() {
    let Some(bed) = Bed::new("apply_ddl").await else {
        return;
    };
    bed.sql("CREATE TABLE t (id int PRIMARY KEY, v text)");
    let old = shape("t", 1, &["id integer", "v text"]);
    let new = shape("t", 1, &["id integer", "v text", "w text"]);
    for mode in MODES {
        bed.sql("DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY, v text)");
        let mut lane = bed.lane(0).await;
        let mut session = bed.session().await;
        let batch = lane.batch(mode, &[insert(&old, 1, &["1", "a"])]);
        session.apply(&batch).await.expect("applied");
        let ahead = lane.clone();
        let batch = lane.batch(mode, &[insert(&new, 2, &["2", "b", "c"])]);
        let kind = match session.apply(&batch).await {
            Err(error) => error.kind,
            Ok(applied) => applied.failed.expect("no such column").1.kind,
        };
        assert_eq!(kind, ApplyErrorKind::MissingObject, "{mode:?}");
        lane = ahead;
        bed.sql("ALTER TABLE t ADD COLUMN w text; ALTER TABLE t ALTER COLUMN v TYPE varchar(9)");
        let batch = lane.batch(mode, &[insert(&new, 2, &["2", "b", "c"])]);
        session.apply(&batch).await.expect("applied");
        // Dropped and made again: the prepared statements' table is gone.
        bed.sql("DROP TABLE t; CREATE TABLE t (w text, v text, id bigint PRIMARY KEY)");
        let batch = lane.batch(mode, &[insert(&new, 3, &["3", "b", "c"])]);
        session.apply(&batch).await.expect("applied");
        assert_eq!(bed.sql("SELECT id, v, w FROM t"), "3|b|c", "{mode:?}");
    }
}
