//! What the log is asked about a look: what it told until the look's end, and nothing behind it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use keylane::postgres::reconcile::PostgresSide;
use keylane_core::model::{TableName, Value};
use keylane_core::reconcile::{Engine, Passage as _, Side as _, TablePlan, Touched, plan};
use keylane_server::config::Config;
use keylane_server::wire_up::{RoadPassage, roads};

use crate::bed::{Bed, left_out};

const TABLES: &str = "create table t (id int primary key, v text)";

async fn planned(bed: &Bed, name: &TableName) -> TablePlan {
    let mut origin = PostgresSide::origin(bed.origin_url(), None);
    let mut replica = PostgresSide::replica(bed.replica_url(), None);
    let one = origin.table(name).await.expect("asked").expect("there");
    let other = replica.table(name).await.expect("asked").expect("there");
    let engines = (Engine::Postgres, Engine::Postgres);
    plan(engines, &one, &other).expect("a plan")
}

#[test]
fn what_comes_behind_a_look_is_no_cause_of_what_it_saw() {
    if left_out() {
        return;
    }
    let bed = Bed::new("reconcile_told", TABLES);
    bed.origin_sql("insert into t values (1, 'one'), (2, 'two')");
    let running = bed.start(&[]);
    bed.settle(&running);
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    runtime.block_on(async {
        let config = Config::load(&bed.config()).expect("a configuration");
        let road = roads(&config, &[]).await.expect("a road").remove(0);
        let name = TableName::new("public", "t");
        let plan = planned(&bed, &name).await;
        let identity = |id: &str| plan.identity(&[Value::number(id)]);
        let among = HashSet::from([identity("1"), identity("2")]);
        let mut passage = RoadPassage::new(Arc::new(road), name, Duration::from_secs(60));
        for (before, during, behind) in [("one", None, "later"), ("later", Some(2), "last")] {
            passage.begin().await.expect("begun");
            if let Some(id) = during {
                bed.origin_sql(&format!("update t set v = 'meanwhile' where id = {id}"));
            }
            passage.pass().await.expect("passed");
            let touched = passage.touched(&plan, &among).await.expect("read");
            let expect = during.map(|id: i32| identity(&id.to_string()));
            assert_eq!(touched, Touched::Keys(expect.into_iter().collect()));
            bed.origin_sql(&format!("update t set v = '{behind}' where id = 1"));
            bed.settle(&running);
            let told = passage.told(&plan, &among).await.expect("read");
            let row = told.get(&identity("1")).expect("the log tells of it");
            let value = row.as_ref().and_then(|row| row.get(1)).cloned();
            assert_eq!(value, Some(Value::text(before)), "behind it came {behind}");
        }
    });
    running.terminate();
}
