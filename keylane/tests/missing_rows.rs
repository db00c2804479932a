//! Rows that the replica lacks, where the configuration says that they must be there.

use std::collections::BTreeSet;
use std::sync::Arc;

use keylane_core::apply::{Mode, MustHit, Replica};
use keylane_core::error::ApplyErrorKind;
use keylane_core::model::{Lane, Offset, TableName};

use crate::changes::{delete, insert, shape, update};
use crate::postgres_apply::bed::{Bed, MODES};
use crate::sqlite_apply::{batch, replica, spec};

/// In every mode: nothing of the transaction is kept, and once the rows are there it goes through.
async fn check(replica: &dyn Replica, schema: &str) {
    for mode in MODES {
        let name = format!("{schema}.t_{mode:?}").to_lowercase();
        let table = shape(&name, 1, &["id integer!", "v text", "w text"]);
        replica.create_table(&table).await.expect("created");
        let other = MustHit::In(Arc::new(BTreeSet::from([TableName::new(
            schema, "another",
        )])));
        let this = MustHit::In(Arc::new(BTreeSet::from([table.table.clone()])));
        let changes = [
            insert(&table, 1, &["1", "new", "x"]),
            update(&table, 2, &["2", "changed", "ABSENT"]),
            update(&table, 3, &["3", "changed", "x"]),
            delete(&table, 4, &["4", "ABSENT", "ABSENT"]),
        ];
        let rows = [
            insert(&table, 5, &["2", "old", "y"]),
            insert(&table, 6, &["3", "old", "y"]),
            insert(&table, 7, &["4", "old", "y"]),
        ];
        let apply = async |changes: &[_], mode: Mode, must_hit: &MustHit| {
            let progress = replica.fence("p", &[spec()]).await.expect("fenced");
            let (from, _) = progress[0].lanes.get(&Lane(0)).copied().unwrap_or_default();
            let mut batch = batch(progress[0].owner_epoch, from.0, changes.to_vec(), mode);
            batch.must_hit = must_hit.clone();
            let mut session = replica.session().await.expect("a session");
            let applied = session.apply(&batch).await;
            let progress = replica.progress("p").await.expect("progress");
            let stands = progress[0].lanes.get(&Lane(0)).copied().unwrap_or_default();
            (applied, stands.0.0 - from.0)
        };
        for must_hit in [&this, &MustHit::Everywhere] {
            let (applied, steps) = apply(&changes, mode, must_hit).await;
            let error = applied.expect_err("rows are missing");
            assert_eq!(error.kind, ApplyErrorKind::MissingRow, "{mode:?}: {error}");
            let words = format!("{name} lacks rows that the origin changed: 3 of");
            assert!(error.message.contains(&words), "{mode:?}: {error}");
            assert_eq!(Offset(steps), Offset(0), "{mode:?}: the lane stands");
            // The first change, which had no fault, is not kept either.
            let (alone, _) = apply(&[update(&table, 8, &["1", "v", "w"])], mode, must_hit).await;
            assert!(alone.is_err(), "{mode:?}: {alone:?}");
        }
        let (applied, _) = apply(&rows, mode, &this).await;
        assert!(applied.expect("applied").missing.is_empty(), "{mode:?}");
        let (applied, steps) = apply(&changes, mode, &this).await;
        assert!(applied.expect("applied").missing.is_empty(), "{mode:?}");
        assert_eq!(steps, 4, "{mode:?}");
        let lost = [delete(&table, 9, &["4", "ABSENT", "ABSENT"])];
        let (applied, _) = apply(&lost, mode, &other).await;
        let counted = applied.expect("applied").missing;
        assert_eq!(counted.get(&table.table), Some(&1), "{mode:?}");
    }
}

#[tokio::test]
async fn a_missing_row_ends_the_transaction_before_its_commit_on_sqlite() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    check(&replica(&folder.path().join("r.db")).await, "main").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_row_ends_the_transaction_before_its_commit_on_postgresql() {
    if let Some(bed) = Bed::new("apply_must_hit").await {
        check(&bed.replica, "public").await;
    }
}
