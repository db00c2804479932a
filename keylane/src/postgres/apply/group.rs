//! From a run of row writes to statements: rows of one form go together, and the order of the statements spares constraints.
//!
//! Deletes come first, children before parents: a unique value that a deleted row had may be taken by another. Then table by table, parents before
//! children: rows that are there, then new ones. Inside a statement rows are sorted by key, so that two sessions lock in one order.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use keylane_core::apply::{RowWrite, WriteKind};
use keylane_core::model::{Row, SchemaId, TableName, Value};

use super::plan::{Form, TablePlan};

/// What the number of rows that a statement hit says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    /// Nothing.
    Rows,
    /// Rows that it did not hit are missing.
    Hits,
    /// The same, and they are to be inserted.
    HitsElseInsert,
    /// It is the number of missing rows.
    Missing,
}

/// Rows of one form.
#[derive(Debug)]
pub(super) struct Group {
    /// The table's plan.
    pub plan: Arc<TablePlan>,
    /// With the form: which statement.
    pub schema: SchemaId,
    /// The form.
    pub form: Form,
    /// What its count says.
    pub count: Count,
    /// Indices in the run, in the order of their keys.
    pub rows: Vec<usize>,
}

/// An array of text, as a parameter.
pub(super) type Array<'a> = Vec<Option<Cow<'a, str>>>;

/// A run's writes as groups, in the order to execute them. `together`: whether missing rows can be inserted in a second statement, which is cheaper; alone
/// standing writes do both in one.
pub(super) fn groups(
    run: &[RowWrite],
    plan_of: impl Fn(SchemaId) -> Option<Arc<TablePlan>>,
    together: bool,
) -> Vec<Group> {
    let mut sorted: BTreeMap<Place, Group> = BTreeMap::new();
    for (index, write) in run.iter().enumerate() {
        let schema = write.schema.id;
        // Whoever calls has loaded the plans of all schemas of the run.
        let Some(plan) = plan_of(schema) else {
            continue;
        };
        let (step, form, count) = form_of(&plan, write, together);
        let place = Place {
            step,
            depth: match step {
                Step::Delete | Step::DeleteUnexpected => u32::MAX - plan.depth,
                _ => plan.depth,
            },
            table: plan.table.clone(),
            after: step == Step::Insert,
            form: form.clone(),
            schema,
            merge: matches!(write.kind, WriteKind::Merge),
        };
        sorted
            .entry(place)
            .or_insert_with(|| Group {
                plan,
                schema,
                form,
                count,
                rows: Vec::new(),
            })
            .rows
            .push(index);
    }
    let mut groups: Vec<Group> = sorted.into_values().collect();
    for group in &mut groups {
        if group.rows.len() > 1 && !matches!(group.form, Form::InsertUnkeyed(_)) {
            let key = group.plan.key().clone();
            group.rows.sort_by_cached_key(|index| {
                run.get(*index)
                    .map(|write| values(&write.row, &key).cloned().collect::<Vec<Value>>())
            });
        }
    }
    groups
}

impl Group {
    /// The parameters of its statement.
    pub fn arrays<'a>(&self, run: &'a [RowWrite]) -> Vec<Array<'a>> {
        let writes = || self.rows.iter().filter_map(|index| run.get(*index));
        let columns_of = |columns: &[u16]| -> Vec<Array<'a>> {
            let column = |index: &u16| {
                writes()
                    .map(|write| text(write.row.get(usize::from(*index))))
                    .collect()
            };
            columns.iter().map(column).collect()
        };
        match (&self.form, writes().next().map(|write| &write.kind)) {
            (Form::Truncate, _) | (_, None) => Vec::new(),
            (Form::Delete, _) => columns_of(self.plan.key()),
            (
                Form::Update(columns)
                | Form::UpdateOrInsert(columns)
                | Form::Insert(columns)
                | Form::InsertAbsent(columns)
                | Form::InsertUnkeyed(columns),
                _,
            ) => columns_of(columns),
            (Form::Move(columns), Some(kind)) => {
                let mut arrays = columns_of(columns);
                if let WriteKind::Move { from } = kind {
                    let old = self.plan.key().iter();
                    arrays.extend(old.map(|index| vec![text(from.get(usize::from(*index)))]));
                }
                arrays
            }
            (Form::UpdateUnkeyed(columns, old), Some(kind)) => {
                let mut array: Array<'a> = columns_of(columns).into_iter().flatten().collect();
                if let WriteKind::UpdateUnkeyed { before } = kind {
                    let told = old.iter().map(|(index, _)| before.get(usize::from(*index)));
                    array.extend(told.map(text));
                }
                vec![array]
            }
            (Form::DeleteUnkeyed(old), _) => {
                let columns: Vec<u16> = old.iter().map(|(index, _)| *index).collect();
                vec![columns_of(&columns).into_iter().flatten().collect()]
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    DeleteUnexpected,
    Delete,
    Write,
    Insert,
}

/// Where a group stands; the order of the fields is the order of execution.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    step: Step,
    depth: u32,
    table: TableName,
    after: bool,
    form: Form,
    schema: SchemaId,
    merge: bool,
}

impl Place {
    fn rank(&self) -> impl Ord + '_ {
        let deletes = matches!(self.step, Step::Delete | Step::DeleteUnexpected);
        (
            !deletes,
            self.depth,
            &self.table,
            self.after,
            self.step,
            self.merge,
            &self.form,
            self.schema,
        )
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank().cmp(&other.rank())
    }
}

fn form_of(plan: &TablePlan, write: &RowWrite, together: bool) -> (Step, Form, Count) {
    let present = || plan.present(&write.row);
    match &write.kind {
        WriteKind::Delete { expected: true } => (Step::Delete, Form::Delete, Count::Hits),
        WriteKind::Delete { expected: false } => {
            (Step::DeleteUnexpected, Form::Delete, Count::Rows)
        }
        WriteKind::Update if together => {
            (Step::Write, Form::Update(present()), Count::HitsElseInsert)
        }
        WriteKind::Update => (Step::Write, Form::UpdateOrInsert(present()), Count::Missing),
        WriteKind::Merge => (Step::Write, Form::Update(present()), Count::Hits),
        WriteKind::Insert => (Step::Insert, Form::Insert(present()), Count::Rows),
        WriteKind::Move { .. } => (Step::Write, Form::Move(present()), Count::Hits),
        WriteKind::InsertUnkeyed => (Step::Insert, Form::InsertUnkeyed(present()), Count::Rows),
        WriteKind::UpdateUnkeyed { before } => (
            Step::Write,
            Form::UpdateUnkeyed(present(), plan.telling(before)),
            Count::Hits,
        ),
        WriteKind::DeleteUnkeyed => (
            Step::Write,
            Form::DeleteUnkeyed(plan.telling(&write.row)),
            Count::Hits,
        ),
        WriteKind::Truncate => (Step::Write, Form::Truncate, Count::Rows),
    }
}

fn values<'a>(row: &'a Row, columns: &'a [u16]) -> impl Iterator<Item = &'a Value> {
    columns
        .iter()
        .map(|index| row.get(usize::from(*index)).unwrap_or(&Value::Null))
}

fn text(value: Option<&Value>) -> Option<Cow<'_, str>> {
    value.and_then(Value::as_sql_text)
}
