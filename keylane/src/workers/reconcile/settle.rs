//! Where more differs than can be looked at together, most of it is on its way: it is left out once it has arrived.

use bytes::Bytes;
use keylane_core::reconcile::{Figures, SideError, TablePlan, difference};

use super::confirm::{ROWS_AT_ONCE, both, count_bounds};
use super::suspects::{AT_ONCE, Seen};
use super::table::{Between, Comparing};

/// Those that still differ after one mark has gone through the road, however many there are; again as long as that leaves out most of them. Rows that are equal on both sides then need no proof, and a look, which takes as long as
/// the road is behind, is spent on the others alone. As few as are looked at together are left to that look.
pub(super) async fn settle(
    comparing: &Comparing,
    plan: &TablePlan,
    between: &mut Between,
    mut seen: Vec<Seen>,
    figures: &mut Figures,
) -> Result<Vec<Seen>, SideError> {
    while seen.len() > AT_ONCE {
        let before = seen.len();
        match &mut between.passage {
            Some(passage) => {
                if passage.pass().await.is_err() {
                    // Why, is said with the look.
                    break;
                }
            }
            None => tokio::time::sleep(comparing.look_pause).await,
        }
        seen = still_differing(plan, between, seen, figures).await?;
        if seen.len() > before / 2 {
            break;
        }
    }
    Ok(seen)
}

async fn still_differing(
    plan: &TablePlan,
    between: &mut Between,
    seen: Vec<Seen>,
    figures: &mut Figures,
) -> Result<Vec<Seen>, SideError> {
    let mut left = Vec::new();
    for some in seen.chunks(ROWS_AT_ONCE) {
        let asked = some.iter().map(|seen| (plan.identity(&seen.key), seen));
        let asked: Vec<(Bytes, &Seen)> = asked.collect();
        let (origin, replica) = both(plan, between, &asked).await?;
        for (identity, seen) in &asked {
            let found = difference(plan, origin.get(identity), replica.get(identity));
            match found.difference {
                Some(_) => left.push((*seen).clone()),
                None => {
                    count_bounds(figures, &found);
                    figures.settling += 1;
                }
            }
        }
    }
    Ok(left)
}
