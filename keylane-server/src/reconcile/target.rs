//! What is compared with what.

use std::sync::Arc;

use keylane_core::model::TableName;
use keylane_core::reconcile::{Engine, Mender};

use crate::config::{self, Config, ForeignKeys, Pipeline};
use crate::exit_code::{Exit, Failure};
use crate::wire_up::{Database, Road, roads};

/// Two databases and the tables of them that are compared.
pub struct Target {
    /// The pipeline between them, if there is one.
    pub pipeline: Option<Arc<str>>,
    /// The truth.
    pub origin: Database,
    /// What is to be equal to it.
    pub replica: Database,
    /// Tables, by the origin's names.
    pub tables: Vec<TableName>,
    /// The road between them; with it, differences are proved by the log.
    pub road: Option<Arc<Road>>,
    /// Whether the replica's foreign keys are not checked for what is written to it.
    pub trust: bool,
}

impl Target {
    /// What mends the replica.
    pub(super) fn mender(&self) -> Box<dyn Mender> {
        self.replica.mender(self.trust)
    }
}

/// The tables of pipelines, those of these names only if there are any. Pipelines without a replica are passed over unless they are named.
///
/// # Errors
/// If a named pipeline has no replica, or a pipeline or a table of that name is not there.
pub async fn of_pipelines(
    config: &Config,
    pipelines: &[String],
    tables: &[String],
) -> Result<Vec<Target>, Failure> {
    let mut targets = Vec::new();
    for road in roads(config, pipelines).await? {
        if road.replica.is_none() {
            if pipelines.is_empty() {
                // Its events go into topics only.
                continue;
            }
            let message = format!(
                "pipeline {} has no replica: there is nothing to compare",
                road.name
            );
            return Err(Failure::new(Exit::Usage, message));
        }
        let pipeline = config
            .pipelines
            .iter()
            .find(|(name, _)| name.as_str() == &*road.name);
        let trusts =
            |(_, pipeline): (_, &Pipeline)| pipeline.apply.foreign_keys == ForeignKeys::Trust;
        let trust = pipeline.is_some_and(trusts);
        let databases = pipeline.and_then(|(_, pipeline)| Database::both(pipeline));
        let Some((origin, replica)) = databases else {
            let message = format!(
                "pipeline {} applies topics of another tool and names no origin: there is nothing to compare with; give --origin URL, --replica URL and --table",
                road.name
            );
            return Err(Failure::new(Exit::Usage, message));
        };
        let mut carried = road.tables().await;
        if carried.is_empty() {
            let message = format!(
                "pipeline {} has captured nothing yet; start `keylane run`, then compare",
                road.name
            );
            return Err(Failure::new(Exit::Error, message));
        }
        carried.retain(|table| tables.is_empty() || tables.iter().any(|name| is(table, name)));
        targets.push(Target {
            pipeline: Some(road.name.clone()),
            origin,
            replica,
            tables: carried,
            road: Some(Arc::new(road)),
            trust,
        });
    }
    if targets.is_empty() {
        let message = "no pipeline has a replica: there is nothing to compare";
        return Err(Failure::new(Exit::Usage, message));
    }
    for name in tables {
        let is_there = |target: &Target| target.tables.iter().any(|table| is(table, name));
        if !targets.iter().any(is_there) {
            let message = format!("no pipeline carries a table {name}");
            return Err(Failure::new(Exit::Usage, message));
        }
    }
    targets.retain(|target| !target.tables.is_empty());
    Ok(targets)
}

/// Tables of two databases by their URLs, without a pipeline.
///
/// # Errors
/// If a URL is of no database that can be compared, or no table is named.
pub fn from_urls(origin: &str, replica: &str, tables: &[String]) -> Result<Target, Failure> {
    if tables.is_empty() {
        let message = "name the tables: --table orders --table customers";
        return Err(Failure::new(Exit::Usage, message));
    }
    let origin = database(origin)?;
    let schema = match origin.engine() {
        Engine::Postgres => "public",
        Engine::Sqlite => "main",
    };
    let named = |name: &String| match name.split_once('.') {
        Some((schema, name)) => TableName::new(schema, name),
        None => TableName::new(schema, name.as_str()),
    };
    Ok(Target {
        pipeline: None,
        replica: database(replica)?,
        tables: tables.iter().map(named).collect(),
        road: None,
        trust: false,
        origin,
    })
}

fn database(url: &str) -> Result<Database, Failure> {
    let file = ["sqlite://", "sqlite:", "file:"];
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Ok(Database::Postgres(url.to_owned()));
    }
    match file.iter().find_map(|scheme| url.strip_prefix(scheme)) {
        Some(path) if !path.is_empty() => Ok(Database::Sqlite(path.into())),
        _ => Err(Failure::new(
            Exit::Usage,
            "a database is named by postgres://user@host:port/db or sqlite:FILE",
        )),
    }
}

/// The table as patterns of the configuration mean it.
pub(super) fn named_in_config(table: &TableName) -> config::TableName {
    config::TableName {
        schema: Some(table.schema.to_string()),
        table: table.name.to_string(),
    }
}

/// Whether a name means this table: with or without its schema.
fn is(table: &TableName, name: &str) -> bool {
    *table.name == *name || table.to_string() == name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_are_told_by_their_urls_and_secrets_are_not_repeated() {
        let tables = ["shop.orders".to_owned(), "t".to_owned()];
        let target = from_urls("postgres://me:secret@db/shop", "sqlite:copy.db", &tables);
        let target = target.expect("a target");
        assert_eq!(target.origin.place(), "postgres://me@db/shop");
        assert_eq!(target.replica, Database::Sqlite("copy.db".into()));
        let names: Vec<String> = target.tables.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["shop.orders", "public.t"]);
        for wrong in ["mysql://me:secret@db/shop", "sqlite:", "copy.db"] {
            let refused = from_urls("sqlite:a.db", wrong, &tables);
            let told = refused.map(|_| ()).expect_err(wrong).message;
            assert!(!told.contains("secret"), "{told}");
        }
        assert!(from_urls("sqlite:a.db", "sqlite:b.db", &[]).is_err());
    }
}
