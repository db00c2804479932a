//! Whose sagas are: shared out fairly, taken over from who is gone, and a former owner writes nothing.

use std::time::Duration;

use keylane_core::saga::{Lease, SHARDS, SagaStore, Written};
use serde_json::json;

use super::bed::{Kept, id_in, moves, ok};

async fn leased(store: &dyn SagaStore, owner: &str, hold_ms: u64) -> Vec<Lease> {
    store.lease(owner, hold_ms).await.expect("leased")
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_share_the_shards_and_each_shard_has_one_owner() {
    for bed in Kept::all().await {
        let other = bed.again().await;
        assert_eq!(
            leased(&*bed.store, "one", 60_000).await.len(),
            usize::from(SHARDS)
        );
        assert_eq!(
            leased(&*other, "two", 60_000).await,
            [],
            "nothing is free yet"
        );
        assert_eq!(
            leased(&*bed.store, "one", 60_000).await.len(),
            8,
            "{}",
            bed.name
        );
        let theirs = leased(&*other, "two", 60_000).await;
        let mine = leased(&*bed.store, "one", 60_000).await;
        assert_eq!((mine.len(), theirs.len()), (8, 8), "{}", bed.name);
        assert!(
            mine.iter()
                .all(|it| theirs.iter().all(|other| other.shard != it.shard))
        );
        other.release("two").await.expect("given up");
        let all = leased(&*bed.store, "one", 60_000).await;
        assert_eq!(all.len(), usize::from(SHARDS), "{}", bed.name);
        assert!(all.iter().all(|it| it.epoch > 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_former_owner_writes_nothing_and_who_asks_without_a_lease_does() {
    for bed in Kept::all().await {
        let mine = leased(&*bed.store, "one", 1).await;
        let lease = *mine.iter().find(|it| it.shard == 3).expect("all are free");
        let saga = bed.begun(&id_in(3), None).await;
        let other = bed.again().await;
        let theirs = tokio::time::timeout(Duration::from_secs(10), async {
            loop {
                let theirs = leased(&*other, "two", 60_000).await;
                if theirs.iter().any(|it| it.shard == 3) {
                    break theirs;
                }
                tokio::task::yield_now().await;
            }
        });
        let theirs = theirs
            .await
            .expect("the lease of one millisecond has ended");
        let change = moves(&saga, ok("hold", json!(1)), 2_000_000, Some(lease));
        assert_eq!(
            bed.committed(change.clone()).await,
            Written::Fenced,
            "{}",
            bed.name
        );
        assert_eq!(bed.saga(&saga.id).await.as_ref(), Some(&saga));
        let shown = bed
            .store
            .show(&saga.id)
            .await
            .expect("read")
            .expect("there");
        assert_eq!(shown.timeline.len(), 3, "{}", bed.name);
        let now = *theirs.iter().find(|it| it.shard == 3).expect("taken");
        assert!(now.epoch > lease.epoch);
        let by_owner = keylane_core::saga::Change {
            lease: Some(now),
            ..change
        };
        assert!(
            matches!(bed.committed(by_owner).await, Written::Done(_)),
            "{}",
            bed.name
        );
        let now = bed.saga(&saga.id).await.expect("there");
        let by_hand = moves(&now, ok("reserve", json!(1)), 2_000_000, None);
        assert!(
            matches!(bed.committed(by_hand).await, Written::Done(_)),
            "{}",
            bed.name
        );
    }
}
