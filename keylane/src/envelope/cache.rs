//! The schemas a process has met, by fingerprint and by table. Bounded: the schema met longest ago is forgotten first.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, PoisonError, RwLock};

use keylane_core::model::{SchemaId, TableName, TableSchema};

/// Schemas by fingerprint, shared between threads.
///
/// A forgotten schema is no loss: [`decode`](super::decode) then says [`UnknownSchema`](super::EnvelopeError::UnknownSchema), and the schema records of the
/// topic are read again.
#[derive(Debug)]
pub struct SchemaCache {
    schemas_max: usize,
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    by_id: HashMap<SchemaId, Arc<TableSchema>>,
    latest: HashMap<TableName, SchemaId>,
    by_age: VecDeque<SchemaId>,
}

impl Default for SchemaCache {
    fn default() -> Self {
        SchemaCache::new(10_000)
    }
}

impl SchemaCache {
    /// Holds at most this many schemas (at least one).
    pub fn new(schemas_max: usize) -> Self {
        SchemaCache {
            schemas_max: schemas_max.max(1),
            known: RwLock::default(),
        }
    }

    /// Adds a schema, which becomes its table's latest.
    pub fn insert(&self, schema: Arc<TableSchema>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.latest.insert(schema.table.clone(), schema.id);
        if known.by_id.insert(schema.id, schema.clone()).is_none() {
            known.by_age.push_back(schema.id);
        }
        while known.by_age.len() > self.schemas_max {
            let Some(oldest) = known.by_age.pop_front() else {
                break;
            };
            if let Some(forgotten) = known.by_id.remove(&oldest)
                && known.latest.get(&forgotten.table) == Some(&oldest)
            {
                known.latest.remove(&forgotten.table);
            }
        }
    }

    /// The schema of a fingerprint.
    pub fn get(&self, id: SchemaId) -> Option<Arc<TableSchema>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.by_id.get(&id).cloned()
    }

    /// The schema of a table that was added last.
    pub fn latest(&self, table: &TableName) -> Option<Arc<TableSchema>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.by_id.get(known.latest.get(table)?).cloned()
    }
}
