//! How rows of one origin schema are written to the replica's table: which columns, cast to what, and the statements for each form of write.
//!
//! Every parameter is an array of text, unnested into rows `v`, so that one prepared statement serves any number of rows and any type.

use keylane_core::apply::ApplyError;
use keylane_core::error::ApplyErrorKind;
use keylane_core::model::{Row, TableName, TableSchema, Value};

use super::catalog::{CatalogColumn, CatalogTable, References, quoted};

/// Indices of the origin's columns.
pub(super) type Columns = Vec<u16>;

/// A form of write: with the schema it names a statement.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Form {
    /// Delete rows by key.
    Delete,
    /// Write these columns of rows by key. Rows that are not there are told by the count.
    Update(Columns),
    /// The same, and insert the rows that are not there; the count is of those.
    UpdateOrInsert(Columns),
    /// Insert rows of these columns; where the key is there, write them.
    Insert(Columns),
    /// Insert those rows whose key is not there.
    InsertAbsent(Columns),
    /// Give one row a new key and these columns; the old key's values follow.
    Move(Columns),
    /// Insert rows, whatever is there.
    InsertUnkeyed(Columns),
    /// Write these columns of one row that is equal to the old values (column, whether it is NULL), which follow.
    UpdateUnkeyed(Columns, Vec<(u16, bool)>),
    /// Delete one row that is equal to these.
    DeleteUnkeyed(Vec<(u16, bool)>),
    /// Empty the table.
    Truncate,
}

/// A table's plan.
#[derive(Debug)]
pub(super) struct TablePlan {
    /// The table.
    pub table: TableName,
    /// How deep it stands below those it refers to.
    pub depth: u32,
    is_referenced: bool,
    quoted: String,
    /// By the origin's index; `None`: never written.
    columns: Vec<Option<CatalogColumn>>,
    key: Columns,
    /// All columns of the replica that can be written, quoted.
    writable: Vec<String>,
}

impl TablePlan {
    /// A plan, from both sides' shapes.
    ///
    /// # Errors
    /// `MissingObject` if the replica lacks a column, naming it.
    pub fn new(
        schema: &TableSchema,
        catalog: &CatalogTable,
        references: &References,
    ) -> Result<Self, ApplyError> {
        let mut columns = Vec::with_capacity(schema.columns.len());
        for column in &schema.columns {
            let found = catalog
                .columns
                .iter()
                .find(|candidate| candidate.name == *column.name);
            columns.push(match found {
                _ if column.generated => None,
                Some(found) if found.generated => None,
                Some(found) => Some(found.clone()),
                None => {
                    return Err(ApplyError::new(
                        ApplyErrorKind::MissingObject,
                        format!(
                            "the replica's table {} has no column {} ({} at the origin): add it",
                            schema.table, column.name, column.type_name
                        ),
                    ));
                }
            });
        }
        let writable = catalog.columns.iter().filter(|column| !column.generated);
        Ok(TablePlan {
            table: schema.table.clone(),
            depth: references.depth(&schema.table),
            is_referenced: references.is_referenced(&schema.table),
            quoted: format!(
                "{}.{}",
                quoted(&schema.table.schema),
                quoted(&schema.table.name)
            ),
            columns,
            key: schema.key.iter().map(|index| *index as u16).collect(),
            writable: writable.map(|column| quoted(&column.name)).collect(),
        })
    }

    /// The columns of the row key.
    pub fn key(&self) -> &Columns {
        &self.key
    }

    /// The columns that a row carries and the replica takes.
    pub fn present(&self, row: &Row) -> Columns {
        let written = self.columns.iter().zip(row).enumerate();
        written
            .filter(|(_, (column, value))| column.is_some() && value.is_present())
            .map(|(index, _)| index as u16)
            .collect()
    }

    /// The columns that tell one row of a table without a key, and whether each is NULL.
    pub fn telling(&self, row: &Row) -> Vec<(u16, bool)> {
        let told = |index: u16| {
            let value = row.get(usize::from(index)).unwrap_or(&Value::Absent);
            (index, *value == Value::Null)
        };
        self.present(row).into_iter().map(told).collect()
    }

    /// PostgreSQL truncates no table that another refers to, however empty that one is.
    fn truncate(&self) -> String {
        let verb = if self.is_referenced {
            "DELETE FROM"
        } else {
            "TRUNCATE TABLE"
        };
        format!("{verb} {}", self.quoted)
    }

    /// The statement of a form, and how many arrays it takes.
    pub fn statement(&self, form: &Form) -> (String, usize) {
        match form {
            Form::Delete => (
                format!(
                    "DELETE FROM {} AS t USING {} WHERE {}",
                    self.quoted,
                    rows(0, self.key.len(), "c", ""),
                    self.by_key(&self.key, "c")
                ),
                self.key.len(),
            ),
            Form::Update(columns) => (self.update(columns, &rows_of(columns)), columns.len()),
            Form::UpdateOrInsert(columns) => (self.update_or_insert(columns), columns.len()),
            Form::Insert(columns) => (
                format!(
                    "{} FROM {} {}",
                    self.insert(columns),
                    rows_of(columns),
                    self.on_conflict(columns)
                ),
                columns.len(),
            ),
            Form::InsertAbsent(columns) => (
                format!(
                    "{} FROM {} WHERE NOT EXISTS (SELECT FROM {} AS t WHERE {})",
                    self.insert(columns),
                    rows_of(columns),
                    self.quoted,
                    self.by_key(columns, "c")
                ),
                columns.len(),
            ),
            Form::Move(columns) => (self.rename(columns), columns.len() + self.key.len()),
            Form::InsertUnkeyed(columns) => (
                format!("{} FROM {}", self.insert(columns), rows_of(columns)),
                columns.len(),
            ),
            Form::UpdateUnkeyed(columns, old) => {
                let set = list(columns.iter().enumerate().filter_map(|(at, index)| {
                    let column = self.column(*index)?;
                    (!column.identity_always).then(|| {
                        format!(
                            "{} = ($1)[{}]::{}",
                            quoted(&column.name),
                            at + 1,
                            column.cast
                        )
                    })
                }));
                (
                    format!(
                        "UPDATE {} AS t SET {set} WHERE t.ctid = {}",
                        self.quoted,
                        self.one_of(old, columns.len())
                    ),
                    1,
                )
            }
            Form::DeleteUnkeyed(old) => (
                format!(
                    "DELETE FROM {} AS t WHERE t.ctid = {}",
                    self.quoted,
                    self.one_of(old, 0)
                ),
                1,
            ),
            Form::Truncate => (self.truncate(), 0),
        }
    }

    fn column(&self, index: u16) -> Option<&CatalogColumn> {
        self.columns.get(usize::from(index))?.as_ref()
    }

    /// `t."k" = v.c0::type AND …`: the key's columns among the columns that are bound.
    fn by_key(&self, bound: &Columns, prefix: &str) -> String {
        let conditions = self.key.iter().filter_map(|index| {
            let at = bound.iter().position(|column| column == index)?;
            let column = self.column(*index)?;
            Some(format!(
                "t.{} = v.{prefix}{at}::{}",
                quoted(&column.name),
                column.cast
            ))
        });
        let conditions: Vec<String> = conditions.collect();
        if conditions.is_empty() {
            // A key that no column of the replica holds: nothing is equal to it.
            return "false".to_owned();
        }
        conditions.join(" AND ")
    }

    /// The key columns too: equal keys may be spelled differently (numeric 1.0 and 1.00), and setting an equal key costs no index entry.
    fn assignments(&self, columns: &Columns) -> String {
        list(columns.iter().enumerate().filter_map(|(at, index)| {
            let column = self.column(*index)?;
            (!column.identity_always)
                .then(|| format!("{} = v.c{at}::{}", quoted(&column.name), column.cast))
        }))
    }

    fn update(&self, columns: &Columns, rows: &str) -> String {
        let (set, by_key) = (self.assignments(columns), self.by_key(columns, "c"));
        if set.is_empty() {
            // Nothing can be set (a lone identity column): the row is only looked for.
            return format!("SELECT FROM {} AS t, {rows} WHERE {by_key}", self.quoted);
        }
        format!(
            "UPDATE {} AS t SET {set} FROM {rows} WHERE {by_key}",
            self.quoted
        )
    }

    fn update_or_insert(&self, columns: &Columns) -> String {
        let (set, by_key) = (self.assignments(columns), self.by_key(columns, "c"));
        let hit = if set.is_empty() {
            format!("SELECT v.n FROM {} AS t, v WHERE {by_key}", self.quoted)
        } else {
            format!(
                "UPDATE {} AS t SET {set} FROM v WHERE {by_key} RETURNING v.n",
                self.quoted
            )
        };
        format!(
            "WITH v AS MATERIALIZED (SELECT * FROM {}), hit AS ({hit}) {} FROM v WHERE v.n NOT IN (SELECT n FROM hit) {}",
            rows(0, columns.len(), "c", " WITH ORDINALITY"),
            self.insert(columns),
            self.on_conflict(columns)
        )
    }

    fn insert(&self, columns: &Columns) -> String {
        let written = || columns.iter().filter_map(|index| self.column(*index));
        format!(
            "INSERT INTO {} AS t ({}) OVERRIDING SYSTEM VALUE SELECT {}",
            self.quoted,
            list(written().map(|column| quoted(&column.name))),
            list(
                written()
                    .enumerate()
                    .map(|(at, column)| format!("v.c{at}::{}", column.cast))
            )
        )
    }

    fn on_conflict(&self, columns: &Columns) -> String {
        let key = self.key.iter().filter_map(|index| self.column(*index));
        let set = list(columns.iter().filter_map(|index| {
            let column = self.column(*index)?;
            let name = quoted(&column.name);
            (!column.identity_always).then(|| format!("{name} = excluded.{name}"))
        }));
        let key = list(key.map(|column| quoted(&column.name)));
        if set.is_empty() {
            format!("ON CONFLICT ({key}) DO NOTHING")
        } else {
            format!("ON CONFLICT ({key}) DO UPDATE SET {set}")
        }
    }

    /// An update of the key, or, where an identity column forbids that, the old row deleted and inserted again in one statement.
    fn rename(&self, columns: &Columns) -> String {
        let arrays: Vec<String> = (1..=columns.len() + self.key.len())
            .map(|number| format!("${number}"))
            .collect();
        let names = (0..columns.len())
            .map(|at| format!("c{at}"))
            .chain((0..self.key.len()).map(|at| format!("o{at}")));
        let rows = format!("unnest({}) AS v({})", arrays.join(","), list(names));
        let by_old_key = self.by_key(&self.key, "o");
        let set_key = self.key.iter().filter_map(|index| self.column(*index));
        if !set_key.into_iter().any(|column| column.identity_always) {
            return format!(
                "UPDATE {} AS t SET {} FROM {rows} WHERE {by_old_key}",
                self.quoted,
                self.assignments(columns)
            );
        }
        let new = |name: &String| {
            let sent = columns.iter().enumerate().find_map(|(at, index)| {
                let column = self.column(*index)?;
                (quoted(&column.name) == *name).then(|| format!("v.c{at}::{}", column.cast))
            });
            sent.unwrap_or_else(|| format!("gone.{name}"))
        };
        format!(
            "WITH gone AS (DELETE FROM {0} AS t USING {rows} WHERE {by_old_key} RETURNING t.*) INSERT INTO {0} ({1}) OVERRIDING SYSTEM VALUE SELECT {2} FROM gone, {rows}",
            self.quoted,
            list(self.writable.iter().cloned()),
            list(self.writable.iter().map(new))
        )
    }

    /// The place of one row equal to the old values, which stand behind `bound` others in the only array. NULL equals NULL; where equal values may print
    /// differently, their text is compared.
    fn one_of(&self, old: &[(u16, bool)], bound: usize) -> String {
        let conditions = old.iter().enumerate().filter_map(|(at, (index, is_null))| {
            let column = self.column(*index)?;
            let name = quoted(&column.name);
            let at = bound + at + 1;
            Some(if *is_null {
                // Not `row IS NULL`: a composite of NULLs is no NULL.
                format!("x.{name} IS NOT DISTINCT FROM NULL")
            } else if column.equal_is_same {
                format!("x.{name} = ($1)[{at}]::{}", column.cast)
            } else {
                // Not a cast to text: that prints some types (inet) in another way.
                format!("(format('%s', x.{name}) = ($1)[{at}] AND x.{name} IS DISTINCT FROM NULL)")
            })
        });
        let conditions: Vec<String> = conditions.collect();
        let all = if conditions.is_empty() {
            "true".to_owned()
        } else {
            conditions.join(" AND ")
        };
        format!(
            "(SELECT x.ctid FROM {} AS x WHERE {all} LIMIT 1)",
            self.quoted
        )
    }
}

fn rows_of(columns: &Columns) -> String {
    rows(0, columns.len(), "c", "")
}

/// `unnest($1,$2) AS v(c0,c1)`.
fn rows(first: usize, count: usize, prefix: &str, ordinality: &str) -> String {
    let arrays = (first..first + count).map(|number| format!("${}", number + 1));
    let mut names: Vec<String> = (0..count).map(|at| format!("{prefix}{at}")).collect();
    if !ordinality.is_empty() {
        names.push("n".to_owned());
    }
    format!(
        "unnest({}){ordinality} AS v({})",
        list(arrays),
        names.join(",")
    )
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<String>>().join(", ")
}
