//! What must be right at a PostgreSQL replica, asked without changing it.

use std::time::Duration;

use keylane_core::model::TableSchema;
use tokio_postgres::{Client, Error, Row};

use crate::postgres::connect::{ConnectError, ConnectOptions, connect};
use crate::preflight::Finding;

/// The longest that one question may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Looks at the replica: its role in the cluster, the rights that applying needs, and what on its tables makes applying differ from the origin. `creates` says
/// whether missing tables are created at the start, `enforces` whether foreign keys hold for what is applied.
///
/// # Errors
/// If there is no connection.
pub async fn preflight(
    url: &str,
    tables: &[TableSchema],
    creates: bool,
    enforces: bool,
) -> Result<Vec<Finding>, ConnectError> {
    let options = ConnectOptions::within(ANSWER_MAX);
    let client = connect(url, "keylane check", &options).await?;
    let mut findings = Vec::new();
    let asked = async {
        findings.extend(server(&client).await?);
        findings.extend(own_schema(&client).await?);
        if creates {
            findings.extend(may_create(&client, tables).await?);
        }
        if !enforces {
            findings.push(may_trust(&client).await?);
        }
        findings.extend(of_tables(&client, tables, enforces).await?);
        Ok::<(), Error>(())
    };
    if let Err(error) = asked.await {
        let said = error
            .as_db_error()
            .map_or_else(|| error.to_string(), |said| said.message().to_owned());
        findings.push(
            Finding::passed("rights", "catalog", said)
                .unless(false, "let the role read the system catalogs"),
        );
    }
    Ok(findings)
}

/// Which pipelines, besides those of these names, have progress at this replica: their names and topics. None where the role may not look.
///
/// # Errors
/// If there is no connection.
pub async fn applied_by_others(
    url: &str,
    known: &[&str],
) -> Result<Vec<(String, String)>, ConnectError> {
    let options = ConnectOptions::within(ANSWER_MAX);
    let client = connect(url, "keylane check", &options).await?;
    // A name with a slash is what a pipeline keeps besides.
    let sql = "SELECT DISTINCT pipeline, topic FROM keylane.progress
               WHERE lane = -1 AND pipeline <> ALL ($1) AND pipeline NOT LIKE '%/%' ORDER BY 1, 2";
    let rows = client.query(sql, &[&known]).await.unwrap_or_default();
    let both = |row: &Row| Some((row.try_get(0).ok()?, row.try_get(1).ok()?));
    Ok(rows.iter().filter_map(both).collect())
}

async fn server(client: &Client) -> Result<Vec<Finding>, Error> {
    let row = client
        .query_one(
            "SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only') = 'on',
                    current_setting('server_encoding'), current_setting('synchronous_commit')",
            &[],
        )
        .await?;
    let (standby, read_only): (bool, bool) = (row.try_get(0)?, row.try_get(1)?);
    let encoding: String = row.try_get(2)?;
    let commit: String = row.try_get(3)?;
    let role = match (standby, read_only) {
        (true, _) => "a standby, which takes no writes",
        (false, true) => "read-only by default_transaction_read_only",
        (false, false) => "takes writes",
    };
    Ok(vec![
        Finding::passed("writable", "server", role).unless(
            !standby && !read_only,
            "name the primary server; run: ALTER DATABASE … SET default_transaction_read_only = off;",
        ),
        Finding::passed("encoding", "server encoding", &*encoding)
            .unless(
                encoding == "UTF8",
                "text that the encoding lacks will be parked; use a database with ENCODING 'UTF8'",
            )
            .warning(),
        Finding::passed("synchronous_commit", "synchronous_commit", &*commit)
            .unless(
                commit != "off",
                "a crash of the replica loses its last transactions, rows and progress together: they are applied again; set it on to keep them",
            )
            .warning(),
    ])
}

/// What the role must be granted on Keylane's own tables, if it does not own them.
const OWN_GRANTS: [(&str, &str); 3] = [
    ("meta", "SELECT"),
    ("progress", "SELECT, INSERT, UPDATE"),
    ("parked", "SELECT, INSERT, UPDATE, DELETE"),
];

async fn own_schema(client: &Client) -> Result<Vec<Finding>, Error> {
    let row = client
        .query_one(
            "SELECT n.oid IS NOT NULL, has_database_privilege(current_database(), 'CREATE'),
                    coalesce(has_schema_privilege(n.oid, 'USAGE'), false), coalesce(has_schema_privilege(n.oid, 'CREATE'), false),
                    quote_ident(current_database()), quote_ident(current_user), n.oid
             FROM (SELECT to_regnamespace('keylane')::oid AS oid) AS n",
            &[],
        )
        .await?;
    let (there, may_create): (bool, bool) = (row.try_get(0)?, row.try_get(1)?);
    let (may_use, may_add): (bool, bool) = (row.try_get(2)?, row.try_get(3)?);
    let (database, role): (String, String) = (row.try_get(4)?, row.try_get(5)?);
    let subject = "schema keylane (progress and parked changes)";
    if !there {
        let fix = format!("run: GRANT CREATE ON DATABASE {database} TO {role};");
        let finding = Finding::passed("own_schema", subject, "is created at the start");
        return Ok(vec![finding.unless(may_create, fix)]);
    }
    let (mut complete, mut may_write) = (true, true);
    for (name, privileges) in OWN_GRANTS {
        let every: Vec<&str> = privileges.split(", ").collect();
        let schema: Option<u32> = row.try_get(6)?;
        let found = client
            .query_opt(
                "SELECT (SELECT bool_and(has_table_privilege(c.oid, privilege)) FROM unnest($3::text[]) AS privilege)
                 FROM pg_class c WHERE c.relnamespace = $1 AND c.relname = $2",
                &[&schema, &name, &every],
            )
            .await?;
        match found {
            Some(row) => may_write &= row.try_get::<_, bool>(0)?,
            None => complete = false,
        }
    }
    let (holds, found, fix) = if complete {
        let grants = OWN_GRANTS
            .map(|(name, privileges)| format!(" GRANT {privileges} ON keylane.{name} TO {role};"));
        let fix = format!(
            "run: GRANT USAGE ON SCHEMA keylane TO {role};{}",
            grants.concat()
        );
        (may_use && may_write, "there", fix)
    } else {
        let fix = format!("run: GRANT USAGE, CREATE ON SCHEMA keylane TO {role};");
        let found = "there, its tables are created at the start";
        (may_use && may_add, found, fix)
    };
    Ok(vec![
        Finding::passed("own_schema", subject, found).unless(holds, fix),
    ])
}

/// Whether the role may create the tables that are missing.
async fn may_create(client: &Client, tables: &[TableSchema]) -> Result<Vec<Finding>, Error> {
    let (schemas, names) = names(tables);
    let rows = client
        .query(
            "SELECT DISTINCT w.schema, to_regnamespace(quote_ident(w.schema)) IS NOT NULL,
                    coalesce(has_schema_privilege(to_regnamespace(quote_ident(w.schema))::oid, 'CREATE'),
                             has_database_privilege(current_database(), 'CREATE')), quote_ident(current_user)
             FROM unnest($1::text[], $2::text[]) AS w(schema, name)
             WHERE NOT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                               WHERE n.nspname = w.schema AND c.relname = w.name)",
            &[&schemas, &names],
        )
        .await?;
    let finding = |row: &Row| {
        let (schema, there): (String, bool) = (row.try_get(0)?, row.try_get(1)?);
        let (may, role): (bool, String) = (row.try_get(2)?, row.try_get(3)?);
        let fix = match there {
            true => format!("run: GRANT USAGE, CREATE ON SCHEMA {schema} TO {role};"),
            false => format!("run: CREATE SCHEMA {schema} AUTHORIZATION {role};"),
        };
        let found = if may { "may" } else { "may not" };
        let subject = format!("schema {schema}");
        let found = format!("the role {found} create tables in it");
        Ok(Finding::passed("may_create", subject, found).unless(may, fix))
    };
    rows.iter().map(finding).collect()
}

/// Whether the role may leave the checks of foreign keys to the origin.
async fn may_trust(client: &Client) -> Result<Finding, Error> {
    let row = client
        .query_one(
            "SELECT rolsuper, current_setting('server_version_num')::int >= 150000, quote_ident(current_user)
             FROM pg_roles WHERE rolname = current_user",
            &[],
        )
        .await?;
    let (superuser, by_grant): (bool, bool) = (row.try_get(0)?, row.try_get(1)?);
    let role: String = row.try_get(2)?;
    let may = superuser
        || by_grant
            && client
                .query_one(
                    "SELECT has_parameter_privilege('session_replication_role', 'SET')",
                    &[],
                )
                .await?
                .try_get(0)?;
    let found = if may { "may be set" } else { "may not be set" };
    let fix = if by_grant {
        format!(
            "run: GRANT SET ON PARAMETER session_replication_role TO {role}; or set apply.foreign_keys: enforce"
        )
    } else {
        format!("run: ALTER ROLE {role} SUPERUSER; or set apply.foreign_keys: enforce")
    };
    Ok(Finding::passed("foreign_keys_trust", "session_replication_role", found).unless(may, fix))
}

async fn of_tables(
    client: &Client,
    tables: &[TableSchema],
    enforces: bool,
) -> Result<Vec<Finding>, Error> {
    let (schemas, names) = names(tables);
    let rows = client
        .query(
            "SELECT w.place::int, has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'UPDATE')
                    AND has_table_privilege(c.oid, 'DELETE') AND has_table_privilege(c.oid, 'TRUNCATE'),
                    (SELECT string_agg(tgname, ', ') FROM pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal AND tgenabled IN ('O', 'A')),
                    (SELECT string_agg(conname, ', ') FROM pg_constraint WHERE conrelid = c.oid AND contype = 'f'),
                    quote_ident(current_user), quote_ident(n.nspname) || '.' || quote_ident(c.relname),
                    has_schema_privilege(n.oid, 'USAGE'), quote_ident(n.nspname),
                    (SELECT string_agg(conname, ', ') FROM pg_constraint WHERE confrelid = c.oid AND contype = 'f'
                     AND (confdeltype IN ('c', 'n', 'd') OR confupdtype IN ('c', 'n', 'd')))
             FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w(schema, name, place)
             JOIN pg_namespace n ON n.nspname = w.schema
             JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
             ORDER BY w.place",
            &[&schemas, &names],
        )
        .await?;
    let mut findings = Vec::new();
    for row in &rows {
        let place: i32 = row.try_get(0)?;
        let schema = usize::try_from(place - 1)
            .ok()
            .and_then(|place| tables.get(place));
        if let Some(schema) = schema {
            findings.extend(of_table(row, schema, enforces)?);
        }
    }
    Ok(findings)
}

fn of_table(row: &Row, schema: &TableSchema, enforces: bool) -> Result<Vec<Finding>, Error> {
    let may: bool = row.try_get(1)?;
    let (triggers, foreign): (Option<String>, Option<String>) = (row.try_get(2)?, row.try_get(3)?);
    let (role, table): (String, String) = (row.try_get(4)?, row.try_get(5)?);
    let (may_use, namespace): (bool, String) = (row.try_get(6)?, row.try_get(7)?);
    let subject = format!("table {table}");
    let (found, fix) = match (may_use, may) {
        (false, _) => (
            "its schema may not be used",
            format!("run: GRANT USAGE ON SCHEMA {namespace} TO {role};"),
        ),
        (true, false) => (
            "may not be written",
            format!("run: GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON {table} TO {role};"),
        ),
        (true, true) => ("may be written", String::new()),
    };
    let mut findings =
        vec![Finding::passed("grants", &*subject, found).unless(may && may_use, fix)];
    if let Some(triggers) = triggers {
        findings.push(
            Finding::passed("triggers", &*subject, format!("has triggers that fire for applied changes too: {triggers}"))
                .unless(
                    false,
                    format!("if they write what the origin writes as well, run: ALTER TABLE {table} DISABLE TRIGGER …;"),
                )
                .warning(),
        );
    }
    let actions: Option<String> = row.try_get(8)?;
    findings.extend(actions.filter(|_| enforces).map(|actions| {
        let found = format!("its deletes take rows of other tables with them, by {actions}: each goes with its whole transaction, in order");
        let fix = "slower, and too large a transaction is parked: let the foreign keys have no action (the origin's own deletes come anyway), or set apply.foreign_keys: trust";
        Finding::passed("cascades", &*subject, found)
            .unless(false, fix)
            .warning()
    }));
    if let Some(foreign) = foreign.filter(|_| enforces && schema.references.is_empty()) {
        findings.push(
            Finding::passed("foreign_keys", &*subject, format!("has foreign keys that the origin lacks: {foreign}"))
                .unless(
                    false,
                    format!("changes that violate them are parked; run: ALTER TABLE {table} DROP CONSTRAINT …; or add them at the origin"),
                )
                .warning(),
        );
    }
    Ok(findings)
}

fn names(tables: &[TableSchema]) -> (Vec<String>, Vec<String>) {
    let both = |schema: &TableSchema| {
        (
            schema.table.schema.to_string(),
            schema.table.name.to_string(),
        )
    };
    tables.iter().map(both).unzip()
}
