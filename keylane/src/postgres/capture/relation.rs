//! What shape the stream's rows have: the log's own word on columns, joined with the catalog's on keys, and a judgement of what changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use keylane_core::capture::OriginError;
use keylane_core::model::{Column, TableName, TableSchema};
use tokio_postgres::Client;

use super::catalog::CatalogTable;
use super::catalog_query::{self, Which};
use super::error::{code, refused};
use super::pgoutput::Relation;
use super::text::TextForm;
use super::visibility;

/// A table as the stream tells it.
#[derive(Debug)]
pub(super) struct Shape {
    pub schema: Arc<TableSchema>,
    /// How each column's text becomes a value.
    pub forms: Vec<TextForm>,
    /// Whether each column belongs to the replica identity.
    pub in_identity: Vec<bool>,
}

/// A relation as the log told it, kept while the catalog is asked.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub id: u32,
    pub name: TableName,
    pub replica_identity: u8,
    pub columns: Vec<ToldColumn>,
}

/// A column of [`Told`].
#[derive(Clone, Debug)]
pub(super) struct ToldColumn {
    pub name: String,
    pub in_identity: bool,
    pub type_oid: u32,
    pub type_modifier: i32,
}

impl From<&Relation<'_>> for Told {
    fn from(relation: &Relation<'_>) -> Self {
        Told {
            id: relation.id,
            name: TableName::new(relation.schema, relation.name),
            replica_identity: relation.replica_identity,
            columns: relation
                .columns
                .iter()
                .map(|column| ToldColumn {
                    name: column.name.to_owned(),
                    in_identity: column.in_identity,
                    type_oid: column.type_oid,
                    type_modifier: column.type_modifier,
                })
                .collect(),
        }
    }
}

/// What the catalog says of a relation that was told.
pub(super) struct Answer {
    table: Option<CatalogTable>,
    types: Vec<(String, TextForm)>,
}

/// All relations the stream has told in a session.
pub(super) struct Relations {
    client: Arc<Client>,
    captured: Arc<BTreeSet<TableName>>,
    captured_oids: HashMap<u32, TableName>,
    order_keys: BTreeMap<TableName, Vec<String>>,
    known: HashMap<TableName, Arc<TableSchema>>,
    /// Shapes as the catalog had them when the session began; used for tables that are gone since.
    at_open: HashMap<TableName, CatalogTable>,
    /// `None`: not captured.
    shapes: HashMap<u32, Option<Arc<Shape>>>,
}

impl Relations {
    /// For a session that captures these tables, knowing these shapes from before.
    pub fn new(
        client: Arc<Client>,
        tables: Vec<CatalogTable>,
        order_keys: BTreeMap<TableName, Vec<String>>,
        known: &[Arc<TableSchema>],
    ) -> Self {
        Relations {
            client,
            captured: Arc::new(tables.iter().map(|table| table.name.clone()).collect()),
            captured_oids: tables
                .iter()
                .map(|table| (table.oid, table.name.clone()))
                .collect(),
            order_keys,
            known: known
                .iter()
                .map(|schema| (schema.table.clone(), Arc::clone(schema)))
                .collect(),
            at_open: tables
                .into_iter()
                .map(|table| (table.name.clone(), table))
                .collect(),
            shapes: HashMap::new(),
        }
    }

    /// The shape of a relation's rows; `None` if it is not captured.
    pub fn shape(&self, id: u32) -> Result<Option<&Arc<Shape>>, OriginError> {
        match self.shapes.get(&id) {
            Some(shape) => Ok(shape.as_ref()),
            None => Err(refused(
                code::MALFORMED,
                format!("the origin sent a row of relation {id} before the relation itself"),
            )),
        }
    }

    /// The tables captured by this session.
    pub fn captured(&self) -> &BTreeSet<TableName> {
        &self.captured
    }

    /// Takes note of a relation that was told; answers what to ask the catalog before [`Relations::learn`], `None` if the relation is not captured.
    pub fn ask(
        &mut self,
        told: &Told,
        transaction: u32,
    ) -> Result<
        Option<impl Future<Output = Result<Answer, OriginError>> + Send + 'static>,
        OriginError,
    > {
        // Without an answer no row of it may pass by its former shape.
        self.shapes.remove(&told.id);
        if !self.is_captured(told)? {
            self.shapes.insert(told.id, None);
            return Ok(None);
        }
        let captured = Arc::clone(&self.captured);
        let (client, id) = (Arc::clone(&self.client), told.id);
        let oids: Vec<u32> = told.columns.iter().map(|column| column.type_oid).collect();
        let modifiers: Vec<i32> = told
            .columns
            .iter()
            .map(|column| column.type_modifier)
            .collect();
        Ok(Some(async move {
            visibility::seen(&client, transaction).await?;
            let mut table = catalog_query::read(&client, Which::One(id, &captured)).await?;
            let types = catalog_query::type_names(&client, &oids, &modifiers).await?;
            Ok(Answer {
                table: table.pop(),
                types,
            })
        }))
    }

    /// Joins what the log told with what the catalog answered.
    pub fn learn(&mut self, told: &Told, answer: Answer) -> Result<(), OriginError> {
        let Answer { table, types } = answer;
        let known = self.known.get(&told.name);
        let (schema, renewed) = judge(
            told,
            &types,
            table.as_ref(),
            self.at_open.get(&told.name),
            known.map(|schema| &**schema),
            self.order_keys.get(&told.name).map(Vec::as_slice),
        )?;
        let schema = match known {
            Some(known) if **known == schema => Arc::clone(known),
            _ => Arc::new(schema),
        };
        if renewed {
            self.known.insert(told.name.clone(), Arc::clone(&schema));
        }
        let shape = Shape {
            schema,
            forms: types.into_iter().map(|(_, form)| form).collect(),
            in_identity: told
                .columns
                .iter()
                .map(|column| column.in_identity)
                .collect(),
        };
        self.shapes.insert(told.id, Some(Arc::new(shape)));
        Ok(())
    }

    /// Whether the relation is captured; an error if it is a captured table that changed its identity.
    fn is_captured(&self, told: &Told) -> Result<bool, OriginError> {
        let name = &told.name;
        match self.captured_oids.get(&told.id) {
            Some(captured) if captured == name => Ok(true),
            Some(captured) => Err(changed(
                name,
                format!("it was (or is now) named {captured}"),
                "rename it back, or start again with a new copy under its new name",
            )),
            None if self.captured.contains(name) => Err(changed(
                name,
                "it was dropped and created anew while changes of the former one were still to be captured".to_owned(),
                "start again with a new copy of this table",
            )),
            None => Ok(false),
        }
    }
}

/// The shape that follows, and whether it is the newest known; an error if it must not be guessed.
fn judge(
    told: &Told,
    types: &[(String, TextForm)],
    catalog: Option<&CatalogTable>,
    at_open: Option<&CatalogTable>,
    known: Option<&TableSchema>,
    order_key: Option<&[String]>,
) -> Result<(TableSchema, bool), OriginError> {
    let name = &told.name;
    let Some(table) = catalog.or(at_open) else {
        return Err(changed(
            name,
            "it is gone from the catalog, and its key with it".to_owned(),
            "start again without this table",
        ));
    };
    let columns: Vec<Column> = told
        .columns
        .iter()
        .zip(types)
        .map(|(column, (type_name, _))| Column {
            name: column.name.as_str().into(),
            type_name: type_name.as_str().into(),
            nullable: table
                .column(&column.name)
                .is_none_or(|found| found.nullable),
            generated: table.generated.contains(&column.name),
        })
        .collect();
    let mut schema = table.shape(columns, order_key);
    schema.table = name.clone();
    check_key(told, table, &schema)?;
    let renewed = match known {
        Some(known) => compare(name, known, &schema, table)?,
        None => true,
    };
    if let Some(missing) = order_key
        .into_iter()
        .flatten()
        .find(|column| schema.column_index(column).is_none())
    {
        return Err(changed(
            name,
            format!("its order key's column {missing} is gone"),
            "configure another order key and start again with a new copy of this table",
        ));
    }
    Ok((schema, renewed))
}

/// The row key must be carried whole, and be the one whose columns the log marks.
fn check_key(told: &Told, table: &CatalogTable, schema: &TableSchema) -> Result<(), OriginError> {
    let key = table.key().unwrap_or_default();
    let whole = schema.key.len() == key.len();
    let marked: BTreeSet<&str> = told
        .columns
        .iter()
        .filter(|column| column.in_identity)
        .map(|column| column.name.as_str())
        .collect();
    let key: BTreeSet<&str> = key.iter().map(String::as_str).collect();
    // With replica identity FULL every column is marked; with an index, at least the key's.
    let agrees = match told.replica_identity {
        b'd' => marked == key,
        b'i' => key.is_subset(&marked),
        _ => true,
    };
    if whole && agrees {
        return Ok(());
    }
    Err(changed(
        &told.name,
        "its key changed".to_owned(),
        "records are placed by their key, so start again with a new copy of this table",
    ))
}

/// Whether `new` may follow `known`: only added columns do. Answers whether it is newer.
fn compare(
    name: &TableName,
    known: &TableSchema,
    new: &TableSchema,
    table: &CatalogTable,
) -> Result<bool, OriginError> {
    let mut older = false;
    for column in &known.columns {
        let Some(found) = new
            .column_index(&column.name)
            .and_then(|at| new.columns.get(at))
        else {
            // Still there now: these rows were written before it was added.
            if table.column(&column.name).is_some() {
                older = true;
                continue;
            }
            return Err(changed(
                name,
                format!("its column {} was dropped or renamed", column.name),
                "do the same at the replica, then start again with a new copy",
            ));
        };
        if found.type_name != column.type_name {
            return Err(changed(
                name,
                format!(
                    "its column {} changed from {} to {}",
                    column.name, column.type_name, found.type_name
                ),
                "do the same at the replica, then start again with a new copy",
            ));
        }
    }
    let names = |schema: &TableSchema| -> Vec<Arc<str>> {
        schema
            .key
            .iter()
            .filter_map(|at| schema.columns.get(*at))
            .map(|column| Arc::clone(&column.name))
            .collect()
    };
    if names(known) != names(new) {
        return Err(changed(
            name,
            "its key changed".to_owned(),
            "records are placed by their key, so start again with a new copy of this table",
        ));
    }
    let added_filled = new
        .columns
        .iter()
        .filter(|column| known.column_index(&column.name).is_none())
        .find(|column| table.column(&column.name).is_some_and(|found| found.filled));
    if let Some(column) = added_filled {
        return Err(changed(
            name,
            format!(
                "column {} was added with a default, which changed rows without a word in the log",
                column.name
            ),
            "add it at the replica with the same default, then drop the default at the origin, run VACUUM FULL on the table there, and start again",
        ));
    }
    Ok(!older)
}

fn changed(name: &TableName, what: String, mend: &str) -> OriginError {
    refused(
        code::SHAPE_CHANGED,
        format!("table {name} changed at the origin: {what}; {mend}"),
    )
}

#[cfg(test)]
#[path = "relation_tests.rs"]
mod tests;
