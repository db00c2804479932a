//! The replication slot: created if it never was, taken if it is ours, refused if it is not what it was.

use std::time::Duration;

use keylane_core::capture::OriginError;
use tokio_postgres::Client;

use super::PostgresOriginConfig;
use super::error::{busy, code, from_sql, lost, refused};
use super::session::{parse_lsn, print_lsn};

/// What can be done about a lost source.
pub(super) const WAYS_OUT: &str = "changes may be missing, so this is not gone past by itself. Ways out: bring the right server and slot back; or copy anew: drop \
the slot (SELECT pg_drop_replication_slot(…)), empty the replica's tables, set another topics.prefix and start again";

/// How long the creation of a slot may wait for transactions that were running before it.
const CREATE_WITHIN: Duration = Duration::from_secs(60);

/// A slot as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub plugin: Option<String>,
    pub database: Option<String>,
    pub active_pid: Option<i32>,
    pub wal_status: Option<String>,
    /// Up to here the server may have forgotten.
    pub confirmed: Option<u64>,
}

/// What to do with what was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Create,
    Take,
}

/// The slot, `None` if there is none of this name.
pub(super) async fn read(client: &Client, name: &str) -> Result<Option<Slot>, OriginError> {
    let failed = |error| from_sql("reading the slot", &error);
    let row = client
        .query_opt(
            "SELECT plugin::text, database::text, active_pid, wal_status, confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = $1",
            &[&name],
        )
        .await
        .map_err(failed)?;
    let Some(row) = row else { return Ok(None) };
    let confirmed: Option<String> = row.try_get(4).map_err(failed)?;
    Ok(Some(Slot {
        plugin: row.try_get(0).map_err(failed)?,
        database: row.try_get(1).map_err(failed)?,
        active_pid: row.try_get(2).map_err(failed)?,
        wal_status: row.try_get(3).map_err(failed)?,
        confirmed: confirmed.as_deref().and_then(parse_lsn),
    }))
}

/// How a slot stands, for whoever watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotStanding {
    /// Whether a connection reads from it.
    pub active: bool,
    /// Log that the server keeps for it, in bytes.
    pub retained_bytes: u64,
    /// Log written since the last confirmed place, in bytes.
    pub behind_bytes: u64,
    /// How much more may be written before the slot is lost, in bytes; `None`: without bound, or the disk's.
    pub left_bytes: Option<u64>,
}

/// How the slot of this name stands; `None` if there is none.
///
/// # Errors
/// When the origin cannot be asked.
pub async fn slot_standing(
    client: &Client,
    name: &str,
) -> Result<Option<SlotStanding>, OriginError> {
    let failed = |error| from_sql("asking how the slot stands", &error);
    let row = client
        .query_opt(
            "SELECT active, greatest(0, pg_current_wal_lsn() - restart_lsn)::bigint,
                    greatest(0, pg_current_wal_lsn() - confirmed_flush_lsn)::bigint, safe_wal_size
             FROM pg_replication_slots WHERE slot_name = $1",
            &[&name],
        )
        .await
        .map_err(failed)?;
    let Some(row) = row else { return Ok(None) };
    let bytes = |at: usize| -> Result<Option<u64>, OriginError> {
        let bytes: Option<i64> = row.try_get(at).map_err(failed)?;
        Ok(bytes.map(|bytes| u64::try_from(bytes).unwrap_or_default()))
    };
    Ok(Some(SlotStanding {
        active: row.try_get(0).map_err(failed)?,
        retained_bytes: bytes(1)?.unwrap_or_default(),
        behind_bytes: bytes(2)?.unwrap_or_default(),
        left_bytes: bytes(3)?,
    }))
}

/// Whether the slot may be created or taken; `identity` and `database` are what was found now, `own_pid` is the server process that serves us.
pub(super) fn judge(
    config: &PostgresOriginConfig,
    identity: &str,
    database: &str,
    slot: Option<&Slot>,
    own_pid: Option<i32>,
) -> Result<Verdict, OriginError> {
    let name = &config.slot;
    if let Some(expected) = config.expected_identity.as_deref()
        && expected != identity
    {
        return Err(lost(
            code::SLOT_FOREIGN,
            format!(
                "the origin is {identity}, but what was captured before came from {expected}; {WAYS_OUT}"
            ),
        ));
    }
    let Some(slot) = slot else {
        if config.published_up_to == 0 && config.expected_identity.is_none() {
            return Ok(Verdict::Create);
        }
        return Err(lost(
            code::SLOT_LOST,
            format!("slot {name} is gone from the origin; {WAYS_OUT}"),
        ));
    };
    if slot.plugin.as_deref() != Some("pgoutput") || slot.database.as_deref() != Some(database) {
        return Err(lost(
            code::SLOT_FOREIGN,
            format!(
                "slot {name} is another's: plugin {}, database {}, where pgoutput and {database} were expected; choose another slot name, or {WAYS_OUT}",
                slot.plugin.as_deref().unwrap_or("none"),
                slot.database.as_deref().unwrap_or("none"),
            ),
        ));
    }
    let Some(confirmed) = slot
        .confirmed
        .filter(|_| slot.wal_status.as_deref() != Some("lost"))
    else {
        return Err(lost(
            code::SLOT_LOST,
            format!(
                "slot {name} can no longer be read: the server removed log that it needed (see max_slot_wal_keep_size); {WAYS_OUT}"
            ),
        ));
    };
    // While another holds it, it moves on, and what was published is known only up to when it was last asked for.
    let is_ours_to_judge = slot.active_pid.is_none_or(|holder| Some(holder) == own_pid);
    if is_ours_to_judge && config.published_up_to > 0 && confirmed > config.published_up_to {
        return Err(lost(
            code::SLOT_FOREIGN,
            format!(
                "slot {name} stands at {}, past {} which is the last place that was published: somebody moved it on or created it anew; {WAYS_OUT}",
                print_lsn(confirmed),
                print_lsn(config.published_up_to),
            ),
        ));
    }
    Ok(Verdict::Take)
}

/// Creates the slot. Waits for transactions that are running, within a bound.
pub(super) async fn create(client: &Client, name: &str) -> Result<(), OriginError> {
    check_name(name)?;
    let failed = |error| from_sql("creating the slot", &error);
    let bound = format!("SET statement_timeout = {}", CREATE_WITHIN.as_millis());
    client.batch_execute(&bound).await.map_err(failed)?;
    let created = client
        .query_one(
            "SELECT 1 FROM pg_create_logical_replication_slot($1, 'pgoutput')",
            &[&name],
        )
        .await;
    client
        .batch_execute("SET statement_timeout = 0")
        .await
        .map_err(failed)?;
    match created {
        Ok(_) => Ok(()),
        Err(error) => create_failed(name, &error),
    }
}

fn create_failed(name: &str, error: &tokio_postgres::Error) -> Result<(), OriginError> {
    let told = from_sql("creating the slot", error);
    match error.code().map(|state| state.code()) {
        // duplicate_object: another capturer was faster.
        Some("42710") => Ok(()),
        // query_canceled: the bound.
        Some("57014") => Err(busy(
            code::SLOT_WAITS,
            format!(
                "slot {name} could not be created within {} s, because transactions that began before are still open; end them (pg_stat_activity, oldest xact_start)",
                CREATE_WITHIN.as_secs()
            ),
        )),
        Some("53400") => Err(refused(
            code::SETTING,
            format!(
                "{}; raise max_replication_slots and restart the server",
                told.message
            ),
        )),
        Some("55000") => Err(refused(
            code::SETTING,
            format!(
                "the origin cannot make a logical slot; run: ALTER SYSTEM SET wal_level = logical; and restart the server ({})",
                error.as_db_error().map_or("", |server| server.message())
            ),
        )),
        _ => Err(told),
    }
}

/// Slot names are words of the replication protocol, which cannot quote them.
pub(super) fn check_name(name: &str) -> Result<(), OriginError> {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if !name.is_empty() && name.len() <= 63 && name.bytes().all(legal) {
        return Ok(());
    }
    Err(refused(
        code::CONFIGURATION,
        format!(
            "{name:?} cannot name a slot: use at most 63 lower case letters, digits and underscores"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use keylane_core::capture::OriginErrorKind;

    fn slot() -> Slot {
        Slot {
            plugin: Some("pgoutput".to_owned()),
            database: Some("shop".to_owned()),
            active_pid: None,
            wal_status: Some("reserved".to_owned()),
            confirmed: Some(100),
        }
    }

    fn check(
        published_up_to: u64,
        expected: Option<&str>,
        slot: Option<Slot>,
        expect: Result<Verdict, &str>,
    ) {
        let mut config = PostgresOriginConfig::new("postgres://h/shop", "k", "p");
        config.published_up_to = published_up_to;
        config.expected_identity = expected.map(str::to_owned);
        let verdict = judge(&config, "1/shop/k", "shop", slot.as_ref(), Some(7));
        if let Err(error) = &verdict {
            assert_eq!(error.kind, OriginErrorKind::Lost);
        }
        assert_eq!(verdict.map_err(|error| error.code), expect);
    }

    #[test]
    fn only_a_slot_that_never_was_is_created() {
        check(0, None, None, Ok(Verdict::Create));
        check(1, None, None, Err(code::SLOT_LOST));
        check(0, Some("1/shop/k"), None, Err(code::SLOT_LOST));
    }

    #[test]
    fn only_our_own_slot_is_taken() {
        check(0, None, Some(slot()), Ok(Verdict::Take));
        check(100, Some("1/shop/k"), Some(slot()), Ok(Verdict::Take));
        check(99, Some("1/shop/k"), Some(slot()), Err(code::SLOT_FOREIGN));
        check(100, Some("2/shop/k"), Some(slot()), Err(code::SLOT_FOREIGN));
        let other = |change: fn(&mut Slot)| {
            let mut slot = slot();
            change(&mut slot);
            Some(slot)
        };
        let lost = |slot: &mut Slot| slot.wal_status = Some("lost".to_owned());
        check(100, None, other(lost), Err(code::SLOT_LOST));
        let plugin = |slot: &mut Slot| slot.plugin = Some("wal2json".to_owned());
        check(100, None, other(plugin), Err(code::SLOT_FOREIGN));
        let database = |slot: &mut Slot| slot.database = Some("other".to_owned());
        check(100, None, other(database), Err(code::SLOT_FOREIGN));
        let forgotten = |slot: &mut Slot| slot.confirmed = None;
        check(100, None, other(forgotten), Err(code::SLOT_LOST));
        let held = |slot: &mut Slot| slot.active_pid = Some(8);
        check(99, None, other(held), Ok(Verdict::Take));
        let ours = |slot: &mut Slot| slot.active_pid = Some(7);
        check(99, None, other(ours), Err(code::SLOT_FOREIGN));
    }

    #[test]
    fn a_slot_name_that_the_protocol_cannot_carry_is_refused() {
        for bad in ["", "Up", "a b", "a;b", "a'b"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        assert!(check_name("keylane_shop_1").is_ok());
    }
}
