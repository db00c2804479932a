//! The journal: what was told as kept is there, once, and what a crash left half done does not count.

use keylane::sqlite::journal::{Journal, NewRun, Repair, RunState, TableState};
use keylane_core::model::{TableName, Value};
use keylane_core::reconcile::{
    Difference, Engine, Figures, Finding, SideColumn, SideTable, TablePlan, plan,
};

fn planned() -> TablePlan {
    let column = |name: &str| SideColumn {
        name: name.into(),
        type_name: "integer".into(),
        collation: None,
        generated: false,
    };
    let side = SideTable {
        name: TableName::new("public", "t"),
        columns: vec![column("k"), column("v")],
        key: vec!["k".into()],
    };
    plan((Engine::Postgres, Engine::Postgres), &side, &side).expect("a plan")
}

fn run(name: &str, filter: Option<&str>) -> NewRun {
    NewRun {
        run: name.to_owned(),
        pipeline: Some("shop".to_owned()),
        origin: "a".to_owned(),
        replica: "b".to_owned(),
        filter: filter.map(str::to_owned),
        scheduled: false,
        tables: vec!["public.t".to_owned()],
    }
}

fn finding(key: u32) -> Finding {
    let number = |number: u32| Value::number(number.to_string());
    Finding {
        key: vec![number(key)],
        difference: Difference::Different(vec![1]),
        origin: Some(vec![number(key), number(1)]),
        replica: Some(vec![number(key), number(2)]),
        first_seen_us: 1,
        proved_us: 2,
        proof: "seen".to_owned(),
    }
}

fn figures(different: u64) -> Figures {
    Figures {
        rows_origin: 10,
        different,
        ..Figures::default()
    }
}

#[tokio::test]
async fn what_was_reached_counts_and_nothing_behind_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("reconcile.db");
    let journal = Journal::open(&path).await.expect("opened");
    let (plan, table) = (planned(), "public.t");
    journal.begin(run("one", None)).await.expect("kept");
    journal.compares("one", &plan, true).await.expect("kept");
    journal
        .found("one", &plan, vec![finding(1), finding(2)])
        .await
        .expect("kept");
    let seen = async |journal: &Journal| {
        let found = journal.findings("one", table, 0, 100).await.expect("read");
        found.into_iter().map(|noted| noted.key).collect::<Vec<_>>()
    };
    assert_eq!(seen(&journal).await.len(), 0, "nothing was reached");
    let after = vec![Value::number("2")];
    journal
        .reached("one", table, &figures(2), Some(&after))
        .await
        .expect("kept");
    journal
        .found("one", &plan, vec![finding(3)])
        .await
        .expect("kept");
    drop(journal);

    let journal = Journal::open(&path).await.expect("opened again");
    let known = journal
        .known("one")
        .await
        .expect("read")
        .expect("it is there");
    let of_table = known.tables.first().expect("a table");
    assert_eq!(
        (&of_table.state, of_table.figures.different),
        (&TableState::Open(Some(after)), 2)
    );
    // It goes on: what was found behind the place is found again.
    journal.compares("one", &plan, false).await.expect("kept");
    journal
        .found("one", &plan, vec![finding(3)])
        .await
        .expect("kept");
    journal
        .reached("one", table, &figures(3), None)
        .await
        .expect("kept");
    assert_eq!(seen(&journal).await.len(), 3);
    journal
        .ended("one", table, Ok("diverged"), 5)
        .await
        .expect("kept");
    journal.end("one", RunState::Done, "").await.expect("kept");
    let mut first = journal.findings("one", table, 0, 1).await.expect("read");
    first[0].repair = Repair::Repaired;
    journal.repairs(first).await.expect("kept");
    let known = journal
        .known("one")
        .await
        .expect("read")
        .expect("it is there");
    assert_eq!(known.tables[0].repaired, (1, 0));
}

#[tokio::test]
async fn a_table_that_is_compared_anew_keeps_nothing_of_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("reconcile.db");
    let journal = Journal::open(&path).await.expect("opened");
    let plan = planned();
    journal.begin(run("one", None)).await.expect("kept");
    for (found, left) in [(vec![finding(1)], 1), (Vec::new(), 0)] {
        let count = found.len() as u64;
        journal.compares("one", &plan, true).await.expect("kept");
        journal.found("one", &plan, found).await.expect("kept");
        let counted = figures(count);
        let reached = journal.reached("one", "public.t", &counted, None);
        reached.await.expect("kept");
        let seen = journal
            .findings("one", "public.t", 0, 9)
            .await
            .expect("read");
        assert_eq!(seen.len(), left);
    }
}

#[tokio::test]
async fn the_last_comparison_of_a_whole_table_is_told_and_old_runs_are_forgotten() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = Journal::open(&folder.path().join("reconcile.db"))
        .await
        .expect("opened");
    let plan = planned();
    let compared = async |name: &str, filter, different| {
        journal.begin(run(name, filter)).await.expect("kept");
        journal.compares(name, &plan, true).await.expect("kept");
        journal
            .reached(name, "public.t", &figures(different), None)
            .await
            .expect("kept");
        journal
            .ended(name, "public.t", Ok("diverged"), 1)
            .await
            .expect("kept");
    };
    compared("first", None, 7).await;
    compared("second", None, 5).await;
    compared("part", Some("k > 1"), 1).await;
    journal.begin(run("open", None)).await.expect("kept");
    let last = journal.last_tables().await.expect("read");
    assert_eq!(last.len(), 1);
    assert_eq!(
        (&*last[0].run, last[0].table.figures.different),
        ("second", 5)
    );
    for number in 0..205 {
        journal
            .begin(run(&format!("run {number}"), None))
            .await
            .expect("kept");
    }
    assert!(journal.known("first").await.expect("read").is_none());
    assert_eq!(journal.latest(1000).await.expect("read").len(), 200);
}

#[tokio::test]
async fn another_programs_file_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("reconcile.db");
    let other = rusqlite::Connection::open(&path).expect("opened");
    other.execute_batch("CREATE TABLE mine (v)").expect("made");
    let refused = Journal::open(&path)
        .await
        .map(|_| ())
        .expect_err("it is not ours");
    assert!(refused.to_string().contains("move it away"), "{refused}");
    other
        .execute_batch("SELECT v FROM mine")
        .expect("it is left alone");
}
