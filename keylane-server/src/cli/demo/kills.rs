//! When which worker is killed: at random moments of the traffic, both kinds in turn.

use std::time::Duration;

use super::traffic::Dice;
use super::workers::Role;

/// One kill to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kill {
    /// How long after the traffic began.
    pub at: Duration,
    /// Whom.
    pub role: Role,
}

/// At least one kill of each worker; more the longer the traffic runs, one for about four seconds.
///
/// The first fifth of the time is left alone, so that there is something to lose, and the last fifth, so that the killed are seen to go on.
pub fn plan(traffic: Duration, dice: &mut Dice) -> Vec<Kill> {
    let count = (traffic.as_secs() / 4).max(2);
    let mut role = if dice.chance(50) {
        Role::Apply
    } else {
        Role::Capture
    };
    let mut kills = Vec::new();
    for slot in 0..count {
        let within = dice.between(0, 999) as f64 / 1000.0;
        let share = 0.2 + 0.6 * (slot as f64 + within) / count as f64;
        kills.push(Kill {
            at: traffic.mul_f64(share),
            role,
        });
        role = match role {
            Role::Apply => Role::Capture,
            Role::Capture => Role::Apply,
        };
    }
    kills
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_workers_are_killed_in_time_and_the_same_seed_kills_alike() {
        for seed in 0..200 {
            for seconds in [3, 6, 20, 600] {
                let traffic = Duration::from_secs(seconds);
                let kills = plan(traffic, &mut Dice::new(seed));
                assert!(kills.len() >= 2 && kills.len() as u64 >= seconds / 4);
                assert!(kills.iter().any(|kill| kill.role == Role::Apply));
                assert!(kills.iter().any(|kill| kill.role == Role::Capture));
                assert!(kills.is_sorted_by_key(|kill| kill.at));
                assert!(
                    kills
                        .iter()
                        .all(|kill| kill.at >= traffic / 5 && kill.at <= traffic * 4 / 5)
                );
                assert_eq!(kills, plan(traffic, &mut Dice::new(seed)));
            }
        }
    }
}
