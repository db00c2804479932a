//! What must be right at the origin: asked by `open`, which refuses, and by the preflight check, which tells everything at once with its mend.

use std::collections::BTreeSet;

use keylane_core::capture::OriginError;
use tokio_postgres::{Client, Row};

use super::PostgresOriginConfig;
use super::catalog::CatalogTable;
use super::error::{code, from_sql, refused};
use super::fitness::table_problem;
use super::origin::read_tables;
use super::publication::{self, quoted_table};
use super::session::quote_identifier;
use super::slot;
use crate::preflight::Finding;

/// The settings without which nothing works; refused with the mend.
pub(super) async fn check_server(client: &Client) -> Result<(), OriginError> {
    for check in server_checks(client).await? {
        if check.is_failure() {
            return Err(refused(
                code::SETTING,
                format!("{} is {}: {}", check.subject, check.found, check.fix),
            ));
        }
    }
    Ok(())
}

/// Everything that must be right before capture starts, each with what was found and the command that mends it.
///
/// # Errors
/// When the origin cannot be asked.
pub async fn preflight(
    client: &Client,
    config: &PostgresOriginConfig,
) -> Result<Vec<Finding>, OriginError> {
    let mut checks = server_checks(client).await?;
    checks.extend(role_checks(client).await?);
    let tables = match read_tables(client, config).await {
        Ok(tables) => tables,
        Err(error) if error.code == code::TABLE => {
            checks.push(Finding::passed("tables", "tables", error.message).unless(
                false,
                "create the table, or correct `tables` in the configuration",
            ));
            Vec::new()
        }
        Err(error) => return Err(error),
    };
    checks.extend(room_checks(client, config).await?);
    checks.push(slot_check(client, config).await?);
    checks.extend(publication_checks(client, config, &tables).await?);
    for table in &tables {
        checks.push(table_check(table, config));
        checks.push(grant_check(client, table).await?);
    }
    Ok(checks)
}

async fn one(client: &Client, sql: &str) -> Result<Row, OriginError> {
    client
        .query_one(sql, &[])
        .await
        .map_err(|error| from_sql("checking its settings", &error))
}

async fn one_of(client: &Client, sql: &str, name: &str) -> Result<Row, OriginError> {
    client
        .query_one(sql, &[&name])
        .await
        .map_err(|error| from_sql("checking its settings", &error))
}

fn get<'a, T: tokio_postgres::types::FromSql<'a>>(
    row: &'a Row,
    at: usize,
) -> Result<T, OriginError> {
    row.try_get(at)
        .map_err(|error| from_sql("checking its settings", &error))
}

async fn server_checks(client: &Client) -> Result<Vec<Finding>, OriginError> {
    let row = one(
        client,
        "SELECT current_setting('server_version_num')::int, current_setting('server_version'), current_setting('wal_level'),
                pg_is_in_recovery(), current_setting('server_encoding')",
    )
    .await?;
    let number: i32 = get(&row, 0)?;
    let wal_level: String = get(&row, 2)?;
    let standby: bool = get(&row, 3)?;
    let encoding: String = get(&row, 4)?;
    Ok(vec![
        Finding::passed("server_version", "server version", get::<String>(&row, 1)?).unless(
            (140_000..200_000).contains(&number),
            "use PostgreSQL 14 or later (14 to 18 are tested)",
        ),
        Finding::passed("wal_level", "wal_level", &*wal_level).unless(
            wal_level == "logical",
            "run: ALTER SYSTEM SET wal_level = logical; and restart the server",
        ),
        Finding::passed(
            "primary",
            "server role",
            if standby { "standby" } else { "primary" },
        )
        .unless(!standby, "capture from the primary server"),
        Finding::passed("encoding", "server encoding", &*encoding)
            .unless(
                encoding != "SQL_ASCII",
                "text that is not UTF-8 will stop capture; convert the database to UTF8",
            )
            .warning(),
    ])
}

async fn role_checks(client: &Client) -> Result<Vec<Finding>, OriginError> {
    let row = one(
        client,
        "SELECT current_user::text, rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user",
    )
    .await?;
    let role: String = get(&row, 0)?;
    let may: bool = get(&row, 1)?;
    let found = if may {
        "may replicate"
    } else {
        "may not replicate"
    };
    let fix = format!("run: ALTER ROLE {} REPLICATION;", quote_identifier(&role));
    Ok(vec![
        Finding::passed("replication_role", format!("role {role}"), found).unless(may, fix),
    ])
}

async fn room_checks(
    client: &Client,
    config: &PostgresOriginConfig,
) -> Result<Vec<Finding>, OriginError> {
    let row = one_of(
        client,
        "SELECT current_setting('max_replication_slots')::int, (SELECT count(*)::int FROM pg_replication_slots WHERE slot_name <> $1),
                current_setting('max_wal_senders')::int, (SELECT count(*)::int FROM pg_stat_replication),
                current_setting('max_slot_wal_keep_size'), (SELECT count(*)::int FROM pg_replication_slots WHERE slot_name = $1 AND active)",
        &config.slot,
    )
    .await?;
    let (slots, others): (i32, i32) = (get(&row, 0)?, get(&row, 1)?);
    let (senders, running): (i32, i32) = (get(&row, 2)?, get(&row, 3)?);
    let keep: String = get(&row, 4)?;
    let ours: i32 = get(&row, 5)?;
    Ok(vec![
        Finding::passed(
            "slot_room",
            "max_replication_slots",
            format!("{slots}, {others} used by others"),
        )
        .unless(
            others < slots,
            format!("run: ALTER SYSTEM SET max_replication_slots = {}; and restart the server", slots + 5),
        ),
        Finding::passed(
            "sender_room",
            "max_wal_senders",
            format!("{senders}, {running} running"),
        )
        .unless(
            running - ours < senders,
            format!("run: ALTER SYSTEM SET max_wal_senders = {}; and restart the server", senders + 5),
        ),
        Finding::passed("slot_keeps_log", "max_slot_wal_keep_size", &*keep)
            .unless(
                keep == "-1",
                "a capture that is down for long loses its slot; run: ALTER SYSTEM SET max_slot_wal_keep_size = -1; SELECT pg_reload_conf(); and watch the disk",
            )
            .warning(),
    ])
}

async fn slot_check(
    client: &Client,
    config: &PostgresOriginConfig,
) -> Result<Finding, OriginError> {
    let subject = format!("slot {}", config.slot);
    let check = |found: &str| Finding::passed("slot", subject.clone(), found);
    if let Err(error) = slot::check_name(&config.slot) {
        return Ok(check("not a slot's name").unless(false, error.message));
    }
    let row = one(
        client,
        "SELECT system_identifier::text || '/' || current_database(), current_database()::text FROM pg_control_system()",
    )
    .await?;
    let identity = format!("{}/{}", get::<String>(&row, 0)?, config.slot);
    let database: String = get(&row, 1)?;
    let found = slot::read(client, &config.slot).await?;
    let active = found.as_ref().and_then(|slot| slot.active_pid);
    Ok(
        match (
            slot::judge(config, &identity, &database, found.as_ref(), None),
            active,
        ) {
            (Err(error), _) => check("lost or another's").unless(false, error.message),
            (Ok(slot::Verdict::Create), _) => check("will be created at the start"),
            (Ok(slot::Verdict::Take), Some(_)) => check("in use by a running capture"),
            (Ok(slot::Verdict::Take), None) => check("ready"),
        },
    )
}

async fn publication_checks(
    client: &Client,
    config: &PostgresOriginConfig,
    tables: &[CatalogTable],
) -> Result<Vec<Finding>, OriginError> {
    let name = &config.publication;
    let subject = format!("publication {name}");
    let all: Vec<&CatalogTable> = tables.iter().collect();
    let found = publication::read(client, name).await?;
    let row = one_of(
        client,
        "SELECT has_database_privilege(current_database(), 'CREATE'), current_database()::text, current_user::text,
                coalesce((SELECT pg_has_role(pubowner, 'USAGE') FROM pg_publication WHERE pubname = $1), false)",
        name,
    )
    .await?;
    let (may_create, database, role, owns): (bool, String, String, bool) =
        (get(&row, 0)?, get(&row, 1)?, get(&row, 2)?, get(&row, 3)?);
    let owns_tables = owned(client, tables).await?;
    let Some(found) = found else {
        let may = may_create && owns_tables.len() == tables.len();
        let create = publication::create_sql(name, &all);
        let fix = if may_create {
            format!("have the tables' owner run: {create};")
        } else {
            let (database, role) = (quote_identifier(&database), quote_identifier(&role));
            format!(
                "run: GRANT CREATE ON DATABASE {database} TO {role}; or have an owner run: {create};"
            )
        };
        let told = if may {
            "will be created at the start"
        } else {
            "missing, and the role may not create it"
        };
        return Ok(vec![
            Finding::passed("publication", subject, told).unless(may, fix),
        ]);
    };
    let missing: Vec<&CatalogTable> = tables
        .iter()
        .filter(|table| !found.tables.contains(&table.name))
        .collect();
    let may_add = owns && missing.iter().all(|table| owns_tables.contains(&table.oid));
    let there = Finding::passed(
        "publication_tables",
        subject.clone(),
        format!(
            "{} of {} tables",
            tables.len() - missing.len(),
            tables.len()
        ),
    )
    .unless(
        missing.is_empty() || may_add,
        format!(
            "run as its owner: {};",
            publication::add_sql(name, &missing)
        ),
    );
    let (told, fix) = match publication::problem(name, &found, tables) {
        Some((told, fix)) => (told, Some(fix)),
        None => ("publishes every change".to_owned(), None),
    };
    let changes = Finding::passed("publication_changes", subject, told)
        .unless(fix.is_none(), fix.unwrap_or_default());
    Ok(vec![there, changes])
}

/// Which of the tables the role may add to a publication.
async fn owned(client: &Client, tables: &[CatalogTable]) -> Result<BTreeSet<u32>, OriginError> {
    let oids: Vec<u32> = tables.iter().map(|table| table.oid).collect();
    let rows = client
        .query(
            "SELECT oid FROM pg_class WHERE oid = ANY ($1) AND pg_has_role(relowner, 'USAGE')",
            &[&oids],
        )
        .await
        .map_err(|error| from_sql("checking its tables' owners", &error))?;
    rows.iter().map(|row| get(row, 0)).collect()
}

fn table_check(table: &CatalogTable, config: &PostgresOriginConfig) -> Finding {
    let subject = format!("table {}", table.name);
    match table_problem(table, config.order_keys.get(&table.name)) {
        Some(problem) => Finding::passed("replica_identity", subject, problem.found)
            .unless(false, format!("run: {}", problem.fix)),
        None => {
            let key = match table.key() {
                Some(columns) => format!("row key ({})", columns.join(", ")),
                None => "no key: one order for the whole table".to_owned(),
            };
            // The log has no word of these.
            let found = match table.kind {
                b'p' => format!(
                    "{key}; truncating, attaching or detaching a single partition is not told"
                ),
                _ => key,
            };
            Finding::passed("replica_identity", subject, found)
        }
    }
}

async fn grant_check(client: &Client, table: &CatalogTable) -> Result<Finding, OriginError> {
    let row = client
        .query_one(
            "SELECT has_table_privilege($1::oid, 'SELECT'), has_table_privilege($1::oid, 'UPDATE, DELETE, TRUNCATE'), current_user::text,
                    coalesce((SELECT has_schema_privilege(relnamespace, 'USAGE') FROM pg_class WHERE oid = $1), false)",
            &[&table.oid],
        )
        .await
        .map_err(|error| from_sql("checking its grants", &error))?;
    let (may_read, may_lock): (bool, bool) = (get(&row, 0)?, get(&row, 1)?);
    let role = quote_identifier(&get::<String>(&row, 2)?);
    let may_use: bool = get(&row, 3)?;
    let quoted = quoted_table(&table.name);
    let subject = format!("table {}", table.name);
    if !may_use {
        let namespace = quote_identifier(&table.name.schema);
        let fix = format!("run: GRANT USAGE ON SCHEMA {namespace} TO {role};");
        return Ok(
            Finding::passed("grants", subject, "its schema may not be used").unless(false, fix),
        );
    }
    // A table without a key is copied under a short lock against writers, which takes a right to write.
    if may_read && !may_lock && table.key().is_none() {
        return Ok(Finding::passed(
            "grants",
            subject,
            "readable, but it has no key and may not be locked",
        )
        .unless(
            false,
            format!("run: GRANT SELECT, UPDATE ON {quoted} TO {role};"),
        ));
    }
    let found = if may_read { "readable" } else { "not readable" };
    Ok(Finding::passed("grants", subject, found).unless(
        may_read,
        format!("run: GRANT SELECT ON {quoted} TO {role};"),
    ))
}
