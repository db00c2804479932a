//! One run: capturers come, die, hang and wake until every position is confirmed; then each partition is read.

use std::collections::BTreeSet;

use keylane_core::model::TopicPartition;

use super::capturer::{Capturer, Slot};
use super::variants::Rule;
use crate::Chance;
use crate::model::log::{Log, accepted};
use crate::verdict::{Checker, Failure, Findings};

const STEPS_MAX: usize = 20_000;

/// Runs one seed.
pub(super) fn run(seed: u64, variant: &'static str, size: usize) -> Result<Findings, Failure> {
    let rule = Rule::of(variant);
    let mut chance = Chance::new(seed, 1);
    let partitions: Vec<TopicPartition> = (0..chance.between(1, 3) as u32)
        .map(|number| TopicPartition::new("t", number))
        .collect();
    let places: Vec<TopicPartition> = (0..size)
        .filter_map(|_| chance.pick(&partitions).cloned())
        .collect();
    let mut log = Log::default();
    for partition in partitions.iter().chain([&Log::control()]) {
        log.partitions.insert(partition.clone(), Vec::new());
    }
    let mut slot = Slot::default();
    let faults = chance.between(1, 7);
    go(rule, &mut chance, &mut slot, &mut log, &places, faults)?;
    for partition in &partitions {
        let want: Vec<u64> = (1..=size as u64)
            .filter(|position| places[*position as usize - 1] == *partition)
            .collect();
        check(partition, rule, &log, &want)?;
    }
    Ok(Findings {
        faults: faults as u64,
        ..Findings::default()
    })
}

fn go(
    rule: Rule,
    chance: &mut Chance,
    slot: &mut Slot,
    log: &mut Log,
    places: &[TopicPartition],
    faults: usize,
) -> Result<(), Failure> {
    let (mut capturers, mut left, mut born): (Vec<Capturer>, _, _) = (Vec::new(), faults, 0);
    for _ in 0..STEPS_MAX {
        if slot.confirmed >= places.len() as u64 && left == 0 {
            while log.anything_in_flight() {
                log.land(chance);
            }
            return Ok(());
        }
        capturers.retain(|capturer| capturer.alive);
        for capturer in capturers.iter_mut().filter(|one| one.hung) {
            capturer.hung = !chance.percent(2);
        }
        if !capturers.iter().any(|capturer| !capturer.hung) {
            born += 1;
            capturers.push(Capturer::new(born, rule));
        }
        let index = chance.below(capturers.len());
        let capturer = &mut capturers[index];
        if left > 0 && chance.percent(3) {
            left -= 1;
            if slot.owner == Some(capturer.id) {
                slot.owner = None;
            }
            if chance.percent(50) {
                capturer.alive = false;
                log.crash(capturer.id, chance);
            } else {
                capturer.hung = true;
            }
            born += 1;
            capturers.push(Capturer::new(born, rule));
            continue;
        }
        match chance.below(20) {
            0..8 => log.land(chance),
            8 => log.retain(chance),
            _ if capturer.hung => {}
            9 => capturer.store_checkpoint(log),
            10..13 => capturer.confirm(slot, log),
            _ => capturer.act(slot, log, places),
        }
        if !capturer.alive && slot.owner == Some(capturer.id) {
            slot.owner = None;
        }
    }
    Err(Failure::new(
        Checker::Progress,
        format!("confirmed only {} of {}", slot.confirmed, places.len()),
    ))
}

fn check(partition: &TopicPartition, rule: Rule, log: &Log, want: &[u64]) -> Result<(), Failure> {
    let records = &log.partitions[partition];
    let got: Vec<u64> = match rule {
        Rule::NoEpoch => accepted(records, |_, _| true),
        Rule::LastOpenedWins => {
            let mut last = 0;
            accepted(records, |opens, epoch| {
                last = if opens { epoch } else { last };
                epoch == last
            })
        }
        _ => {
            let mut current = 0;
            accepted(records, |opens, epoch| {
                current = if opens { epoch.max(current) } else { current };
                epoch == current
            })
        }
    }
    .into_iter()
    .map(|(commit, _)| commit)
    .collect();
    let distinct: BTreeSet<u64> = got.iter().copied().collect();
    let failure = |checker, word: &str| {
        let detail = format!("{partition}: {word}: want {want:?}, got {got:?}");
        Err(Failure::new(checker, detail))
    };
    if distinct.len() < got.len() {
        return failure(Checker::NoDuplicatePositionInAcceptedLog, "doubled");
    }
    if want.iter().any(|position| !distinct.contains(position)) {
        return failure(Checker::NoLoss, "lost");
    }
    if got != want {
        return failure(Checker::Order, "out of order");
    }
    Ok(())
}
