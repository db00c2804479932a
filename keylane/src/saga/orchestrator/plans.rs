//! Definitions, ready to be driven. What runs keeps the version that it began with, so all of them stay.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use keylane_core::saga::{KeptDefinition, Plan, SagaStore, StoreError, StoreErrorKind};

/// Makes a plan out of a definition's canonical form; else says what is wrong with it.
pub type PlanReader = Arc<dyn Fn(&str) -> Result<Plan, String> + Send + Sync>;

/// Definitions, ready to be driven.
pub struct Plans {
    reader: PlanReader,
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    by_hash: HashMap<u64, Arc<Plan>>,
    by_name: HashMap<String, Vec<(u32, Arc<Plan>)>>,
}

impl std::fmt::Debug for Plans {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plans").finish_non_exhaustive()
    }
}

impl Plans {
    /// None yet.
    pub fn new(reader: PlanReader) -> Plans {
        Plans {
            reader,
            known: RwLock::default(),
        }
    }

    /// Keeps these in the store.
    ///
    /// # Errors
    /// [`StoreError`]: `Refused`, if the name and version of one are another's.
    pub async fn register(store: &dyn SagaStore, plans: &[Plan]) -> Result<(), StoreError> {
        for plan in plans {
            let definition = plan.definition();
            let kept = KeptDefinition {
                name: definition.name.clone(),
                version: definition.version,
                hash: plan.hash(),
                body: definition.to_json().to_string(),
            };
            store.register(&kept).await?;
        }
        Ok(())
    }

    /// Reads all that the store has.
    ///
    /// # Errors
    /// [`StoreError`]; `Refused`, if one means nothing to this version of Keylane.
    pub async fn refresh(&self, store: &dyn SagaStore) -> Result<(), StoreError> {
        for kept in store.definitions().await? {
            if self.of_hash(kept.hash).is_some() {
                continue;
            }
            let plan = (self.reader)(&kept.body).map_err(|why| StoreError {
                kind: StoreErrorKind::Refused,
                message: format!(
                    "saga {} version {} as it is kept means nothing to this version of Keylane: {why}",
                    kept.name, kept.version
                ),
            })?;
            self.add(plan);
        }
        Ok(())
    }

    /// Adds one.
    fn add(&self, plan: Plan) {
        let plan = Arc::new(plan);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.by_hash.insert(plan.hash(), plan.clone());
        let definition = plan.definition();
        let versions = known.by_name.entry(definition.name.clone()).or_default();
        versions.push((definition.version, plan));
        versions.sort_by_key(|(version, _)| *version);
    }

    /// The one of a hash.
    pub fn of_hash(&self, hash: u64) -> Option<Arc<Plan>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.by_hash.get(&hash).cloned()
    }

    /// The one of a name, and of a version, or the newest.
    pub fn named(&self, name: &str, version: Option<u32>) -> Option<Arc<Plan>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let versions = known.by_name.get(name)?;
        let found = match version {
            None => versions.last(),
            Some(version) => versions.iter().find(|(it, _)| *it == version),
        };
        found.map(|(_, plan)| plan.clone())
    }

    /// All names.
    pub fn names(&self) -> Vec<String> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut names: Vec<String> = known.by_name.keys().cloned().collect();
        names.sort();
        names
    }
}
