//! All simulations, how one seed is run, and how a failure is made small.

use crate::verdict::{Failure, Findings};
use crate::{capture_epoch, commit_order, cross_lane, reconcile, road, saga};

/// What is expected of a variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Every seed holds.
    Holds,
    /// A mutant: some seed must fail.
    Caught,
}

/// A variant of a simulation.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    /// Its name.
    pub name: &'static str,
    /// What is expected of it.
    pub expect: Expect,
}

/// Must hold for every seed.
pub(crate) const fn sound(name: &'static str) -> Variant {
    Variant {
        name,
        expect: Expect::Holds,
    }
}

/// Must be caught.
pub(crate) const fn mutant(name: &'static str) -> Variant {
    Variant {
        name,
        expect: Expect::Caught,
    }
}

/// One simulation: a function from (seed, variant, size) to a verdict.
#[derive(Clone, Copy)]
pub struct Simulation {
    /// Its name.
    pub name: &'static str,
    /// Its variants.
    pub variants: &'static [Variant],
    /// How many changes the origin makes unless told otherwise.
    pub size: usize,
    /// Runs one seed.
    pub run: fn(u64, &'static str, usize) -> Result<Findings, Failure>,
}

/// What became of a variant over many seeds.
#[derive(Clone, Debug)]
pub struct Report {
    /// Seeds run.
    pub seeds: u64,
    /// Summed over seeds that held.
    pub findings: Findings,
    /// The first seed that failed.
    pub failure: Option<(u64, Failure)>,
}

/// Every simulation.
pub fn all() -> Vec<Simulation> {
    vec![
        cross_lane::SIMULATION,
        commit_order::SIMULATION,
        capture_epoch::SIMULATION,
        reconcile::SIMULATION,
        saga::SIMULATION,
        road::SIMULATION,
    ]
}

/// Runs seeds until one fails or `go_on` says stop.
pub fn first_failure(
    simulation: &Simulation,
    variant: &Variant,
    seeds: std::ops::Range<u64>,
    size: usize,
    mut go_on: impl FnMut() -> bool,
) -> Report {
    let mut report = Report {
        seeds: 0,
        findings: Findings::default(),
        failure: None,
    };
    for seed in seeds {
        if !go_on() {
            break;
        }
        report.seeds += 1;
        match (simulation.run)(seed, variant.name, size) {
            Ok(findings) => report.findings.add(findings),
            Err(failure) => {
                report.failure = Some((seed, failure));
                break;
            }
        }
    }
    report
}

/// The smallest size at which the seed, or one of the next hundred, still fails.
pub fn shrink(
    simulation: &Simulation,
    variant: &Variant,
    seed: u64,
    size: usize,
) -> Option<(u64, usize, Failure)> {
    for smaller in 1..size {
        for near in seed..seed + 100 {
            if let Err(failure) = (simulation.run)(near, variant.name, smaller) {
                return Some((near, smaller, failure));
            }
        }
    }
    None
}
