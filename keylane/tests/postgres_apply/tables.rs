//! Tables described and created.

use keylane_core::apply::{Mode, Replica as _};
use keylane_core::error::ApplyErrorKind;
use keylane_core::model::TableName;

use super::bed::{Bed, insert, shape};
use crate::changes::check_asked_threads;

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_created_as_the_origin_has_it_and_gets_the_columns_it_lacks() {
    let Some(bed) = Bed::new("apply_create").await else {
        return;
    };
    let columns = [
        "id bigint!",
        "part character(2)!",
        "v character varying(20)!",
        "n numeric(12,2)",
        "tags text[]",
        "at timestamp(3) with time zone",
        "c \"char\"",
    ];
    let t = shape("shop.Orders", 2, &columns);
    bed.replica.create_table(&t).await.expect("created");
    bed.replica.create_table(&t).await.expect("nothing to do");
    let name = TableName::new("shop", "Orders");
    let found = bed
        .replica
        .describe(&name)
        .await
        .expect("asked")
        .expect("there");
    assert_eq!(found.key, ["id", "part"]);
    for (found, asked) in found.columns.iter().zip(&t.columns) {
        assert_eq!(
            (
                found.name.as_str(),
                found.type_name.as_str(),
                found.nullable
            ),
            (&*asked.name, &*asked.type_name, asked.nullable)
        );
    }
    let mut wider = columns.to_vec();
    wider.push("extra jsonb!");
    let wider = shape("shop.Orders", 2, &wider);
    bed.replica.create_table(&wider).await.expect("altered");
    let found = bed
        .replica
        .describe(&name)
        .await
        .expect("asked")
        .expect("there");
    let extra = found.columns.last().expect("columns");
    assert_eq!((extra.name.as_str(), extra.nullable), ("extra", true));
    let mut lane = bed.lane(0).await;
    let row = [
        "1",
        "x",
        "v",
        "1.50",
        "{a,NULL}",
        "infinity",
        "z",
        "{\"a\": 1}",
    ];
    let batch = lane.batch(Mode::Folded, &[insert(&wider, 1, &row)]);
    bed.session().await.apply(&batch).await.expect("applied");
    let nothing = bed
        .replica
        .describe(&TableName::new("shop", "orders"))
        .await;
    assert_eq!(nothing, Ok(None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_the_replica_lacks_is_named_and_a_type_name_is_never_other_sql() {
    let Some(bed) = Bed::new("apply_types_missing").await else {
        return;
    };
    for bad in [
        "public.mood",
        "nowhere.t",
        "integer); DROP TABLE keylane.progress; --",
        "vector(3)",
    ] {
        let t = shape("t", 1, &["id integer", &format!("m {bad}")]);
        let error = bed.replica.create_table(&t).await.expect_err(bad);
        assert_eq!(error.kind, ApplyErrorKind::MissingObject, "{error}");
        assert!(error.message.contains(bad), "{error}");
    }
    assert_eq!(
        bed.sql("SELECT to_regclass('keylane.progress') IS NOT NULL, to_regclass('t') IS NULL"),
        "t|t"
    );
}

/// So many prepare the own tables at the same time; afterwards there is one version, this one's.
async fn are_prepared_by_many(bed: &Bed, many: usize) {
    let all = (0..many).map(|_| {
        let url = bed.url.clone();
        tokio::spawn(async move { Bed::at(url).await.replica.prepare().await })
    });
    for prepared in all.collect::<Vec<_>>() {
        assert_eq!(prepared.await.expect("joined"), Ok(()));
    }
    assert_eq!(
        bed.sql("SELECT count(*), max(version) FROM keylane.meta"),
        "1|2"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn own_tables_are_prepared_by_many_at_once_and_by_one_without_rights_if_there() {
    let Some(bed) = Bed::new("apply_prepare").await else {
        return;
    };
    bed.sql("DROP SCHEMA keylane CASCADE");
    are_prepared_by_many(&bed, 6).await;
    bed.sql("UPDATE keylane.meta SET version = 99");
    let error = bed.replica.prepare().await.expect_err("a later version");
    assert_eq!(error.kind, ApplyErrorKind::Other);
    assert!(error.message.contains("version 99"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn own_tables_of_the_first_version_are_brought_up_by_whoever_comes_first() {
    let Some(bed) = Bed::new("apply_upgrade").await else {
        return;
    };
    bed.sql("DROP TABLE keylane.pipelines; UPDATE keylane.meta SET version = 1");
    are_prepared_by_many(&bed, 4).await;
    check_asked_threads(&bed.replica).await;
}
