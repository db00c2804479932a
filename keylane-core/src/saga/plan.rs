//! A definition that may be driven: every rule holds of it, and its steps stand in an order in which each comes behind those that it waits for.

use super::definition::{Definition, Step};

/// A definition that was checked. Steps are named by their place in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    definition: Definition,
    hash: u64,
    order: Vec<usize>,
    before: Vec<Vec<usize>>,
    behind: Vec<Vec<usize>>,
}

impl Plan {
    /// Of a definition without findings and its graph.
    pub(super) fn of(definition: Definition, graph: Graph) -> Plan {
        Plan {
            hash: definition.hash(),
            order: graph.order,
            behind: behind(&graph.before),
            before: graph.before,
            definition,
        }
    }

    /// What was checked.
    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    /// The definition's hash.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// A step by its place.
    pub fn step(&self, place: usize) -> Option<&Step> {
        self.definition.steps.get(place)
    }

    /// A step's place by its name.
    pub fn place(&self, id: &str) -> Option<usize> {
        self.definition.steps.iter().position(|step| step.id == id)
    }

    /// All places, each behind those that it waits for.
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// The steps that one waits for.
    pub fn before(&self, place: usize) -> &[usize] {
        self.before.get(place).map_or(&[], Vec::as_slice)
    }

    /// The steps that wait for one.
    pub fn behind(&self, place: usize) -> &[usize] {
        self.behind.get(place).map_or(&[], Vec::as_slice)
    }
}

/// What waits for what.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Graph {
    /// For each step those that it names itself.
    pub before: Vec<Vec<usize>>,
    /// All steps that lie in no cycle and behind none, each behind those that it waits for.
    pub order: Vec<usize>,
}

impl Graph {
    /// Of these edges; names that mean nothing are left out.
    pub fn of(definition: &Definition) -> Graph {
        let place = |id: &String| definition.steps.iter().position(|step| step.id == *id);
        let before = definition.steps.iter().enumerate().map(|(at, step)| {
            let mut places: Vec<usize> = match &step.after {
                None => at.checked_sub(1).into_iter().collect(),
                Some(after) => after.iter().filter_map(place).collect(),
            };
            places.sort_unstable();
            places.dedup();
            places
        });
        let before: Vec<Vec<usize>> = before.collect();
        let order = order(&before);
        Graph { before, order }
    }

    /// For each step, by place, whether it must have ended before: all that it waits for, directly or not.
    pub fn all_before(&self) -> Vec<Vec<bool>> {
        let mut all = vec![vec![false; self.before.len()]; self.before.len()];
        for place in &self.order {
            let mut mine = vec![false; self.before.len()];
            for earlier in self.before.get(*place).into_iter().flatten() {
                for (mine, theirs) in mine.iter_mut().zip(all.get(*earlier).into_iter().flatten()) {
                    *mine |= theirs;
                }
                if let Some(it) = mine.get_mut(*earlier) {
                    *it = true;
                }
            }
            if let Some(it) = all.get_mut(*place) {
                *it = mine;
            }
        }
        all
    }
}

fn behind(before: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut behind = vec![Vec::new(); before.len()];
    for (place, earlier) in before.iter().enumerate() {
        for one in earlier {
            if let Some(it) = behind.get_mut(*one) {
                it.push(place);
            }
        }
    }
    behind
}

/// Kahn's order, the first written first.
fn order(before: &[Vec<usize>]) -> Vec<usize> {
    let behind = behind(before);
    let mut waits_for: Vec<usize> = before.iter().map(Vec::len).collect();
    let free = |(place, count): (usize, &usize)| (*count == 0).then_some(place);
    let mut ready: std::collections::BTreeSet<usize> =
        waits_for.iter().enumerate().filter_map(free).collect();
    let mut order = Vec::with_capacity(before.len());
    while let Some(place) = ready.pop_first() {
        order.push(place);
        for later in behind.get(place).into_iter().flatten() {
            if let Some(count) = waits_for.get_mut(*later) {
                *count -= 1;
                if *count == 0 {
                    ready.insert(*later);
                }
            }
        }
    }
    order
}
