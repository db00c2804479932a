//! The shop's customers: a thread that writes to the origin as a busy shop does, knowing nothing of Keylane.
//!
//! Seeded. Everything that makes replication hard is in it: multi-row transactions, foreign keys, deletes, primary keys that change, items that move to
//! another order, unique values that wander from row to row, rows that are alike. A busy database is waited for; a transaction is whole or not there.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use rusqlite::{
    Connection, ErrorCode, OptionalExtension as _, Transaction, TransactionBehavior, params,
};

use super::shop;

/// Chance, seeded, and the shop's version counter.
#[derive(Debug)]
pub struct Dice {
    random: StdRng,
    version: Arc<AtomicI64>,
}

impl Dice {
    /// From a seed; versions begin at 1.
    pub fn new(seed: u64) -> Self {
        Dice {
            random: StdRng::seed_from_u64(seed),
            version: Arc::default(),
        }
    }

    /// The next version: no row had it before.
    pub fn version(&self) -> i64 {
        self.version.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The highest version given so far.
    pub fn last_version(&self) -> i64 {
        self.version.load(Ordering::Relaxed)
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        self.random.random_range(low..=high)
    }

    /// Whether something happens that happens so often in a hundred.
    pub fn chance(&mut self, percent: u32) -> bool {
        self.random.random_range(0..100) < percent
    }

    /// One of these.
    pub fn pick(&mut self, of: &[&'static str]) -> &'static str {
        of.get(self.random.random_range(0..of.len().max(1)))
            .copied()
            .unwrap_or_default()
    }

    /// So many bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.random.fill(bytes.as_mut_slice());
        bytes
    }
}

/// Running traffic. Dropping it stops it.
#[derive(Debug)]
pub struct Traffic {
    stop: Arc<AtomicBool>,
    changes: Arc<AtomicU64>,
    version: Arc<AtomicI64>,
    thread: Option<JoinHandle<rusqlite::Result<()>>>,
}

impl Traffic {
    /// Starts it: about so many changed rows a second.
    pub fn start(origin: PathBuf, dice: Dice, changes_per_s: u32) -> std::io::Result<Self> {
        let (stop, changes) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let version = dice.version.clone();
        let (stopped, counted) = (stop.clone(), changes.clone());
        let thread = std::thread::Builder::new()
            .name("demo-traffic".into())
            .spawn(move || serve(&origin, dice, changes_per_s, &stopped, &counted))?;
        Ok(Traffic {
            stop,
            changes,
            version,
            thread: Some(thread),
        })
    }

    /// Rows changed so far.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// The highest version given so far.
    pub fn version(&self) -> i64 {
        self.version.load(Ordering::Relaxed)
    }

    /// Whether it ended by itself, which it does on an error only.
    pub fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Stops it after the transaction in progress. Returns the rows changed.
    ///
    /// # Errors
    /// What ended it before.
    pub fn stop(mut self) -> Result<u64, String> {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        match ended {
            Some(Ok(Err(error))) => Err(format!("the shop's traffic failed: {error}")),
            Some(Err(_)) => Err("the shop's traffic thread died".into()),
            Some(Ok(Ok(()))) | None => Ok(self.changes()),
        }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn serve(
    origin: &std::path::Path,
    mut dice: Dice,
    changes_per_s: u32,
    stop: &AtomicBool,
    changes: &AtomicU64,
) -> rusqlite::Result<()> {
    let mut origin = shop::open(origin)?;
    let mut next = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let rows = match transact(&mut origin, &mut dice) {
            Ok(rows) => rows,
            Err(error) if is_busy(&error) => continue,
            Err(error) => return Err(error),
        };
        changes.fetch_add(rows as u64, Ordering::Relaxed);
        next += Duration::from_secs_f64(rows as f64 / f64::from(changes_per_s.max(1)));
        let now = Instant::now();
        // What a slow moment cost is not made up for by a burst.
        next = next.max(now.checked_sub(Duration::from_millis(200)).unwrap_or(now));
        std::thread::sleep(next.saturating_duration_since(now));
    }
    Ok(())
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

/// One transaction of the shop. Returns the rows it changed.
fn transact(origin: &mut Connection, dice: &mut Dice) -> rusqlite::Result<usize> {
    let shop = origin.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let orders: i64 = shop
        .prepare_cached("SELECT count(*) FROM orders")?
        .query_row([], |row| row.get(0))?;
    // The shop stays about as large as it was.
    let (place, cancel) = if orders > 700 { (12, 16) } else { (16, 10) };
    let mut roll = dice.between(0, 114);
    let mut rows = 0;
    for (weight, event) in [
        (place, place_order as Event),
        (cancel, cancel_order),
        (18, ship),
        (12, change_item),
        (8, pay),
        (7, write_to_customer),
        (6, swap_emails),
        (5, hand_email_on),
        (6, move_item),
        (6, renumber_payment),
        (4, renumber_order),
        (4, merge_customers),
        (3, renumber_customer),
        (i64::MAX, prune_audit),
    ] {
        if roll < weight {
            rows = event(&shop, dice)?;
            break;
        }
        roll -= weight;
    }
    shop.commit()?;
    Ok(rows)
}

type Event = fn(&Transaction<'_>, &mut Dice) -> rusqlite::Result<usize>;

fn place_order(shop: &Transaction<'_>, dice: &mut Dice) -> rusqlite::Result<usize> {
    let mut rows = 0;
    let customer = if dice.chance(30) {
        let id = next_id(shop, "customers")?;
        rows += shop::customer(shop, dice, id)?;
        Some(id)
    } else {
        some_id(shop, dice, "customers")?
    };
    let Some(customer) = customer else {
        return Ok(rows);
    };
    let id = next_id(shop, "orders")?;
    rows += shop::order(shop, dice, id, customer)?;
    Ok(rows + shop::audit(shop, dice, "placed")?)
}

fn cancel_order(shop: &Transaction<'_>, dice: &mut Dice) -> rusqlite::Result<usize> {
    let Some(id) = some_id(shop, dice, "orders")? else {
        return Ok(0);
    };
    let mut rows = shop
        .prepare_cached("DELETE FROM order_items WHERE order_id = ?1")?
        .execute([id])?;
    rows += shop
        .prepare_cached("DELETE FROM payments WHERE order_id = ?1")?
        .execute([id])?;
    rows += shop
        .prepare_cached("DELETE FROM orders WHERE id = ?1")?
        .execute([id])?;
    Ok(rows + shop::audit(shop, dice, "cancelled")?)
}

fn ship(shop: &Transaction<'_>, dice: &mut Dice) -> rusqlite::Result<usize> {
    let Some(id) = some_id(shop, dice, "orders")? else {
        return Ok(0);
    };
    let status = dice.pick(&["paid", "packed", "shipped", "delivered"]);
    let rows = shop
        .prepare_cached("UPDATE orders SET status = ?2, version = ?3 WHERE id = ?1")?
        .execute(params![id, status, dice.version()])?;
    Ok(rows
        + if dice.chance(40) {
            shop::audit(shop, dice, "shipped")?
        } else {
            0
        })
}

fn change_item(shop: &Transaction<'_>, dice: &mut Dice) -> rusqlite::Result<usize> {
    let Some((order, line)) = some_item(shop, dice)? else {
        return Ok(0);
    };
    let rows = shop
        .prepare_cached("UPDATE order_items SET quantity = quantity + 1, version = ?3 WHERE order_id = ?1 AND line = ?2")?
        .execute(params![order, line, dice.version()])?;
    let total = dice.between(100, 90_000);
    Ok(rows
        + shop
            .prepare_cached("UPDATE orders SET total_cents = ?2, version = ?3 WHERE id = ?1")?
            .execute(params![order, total, dice.version()])?)
}

fn pay(shop: &Transaction<'_>, dice: &mut Dice) -> rusqlite::Result<usize> {
    let Some(id) = some_id(shop, dice, "orders")? else {
        return Ok(0);
    };
    shop::payment(shop, dice, id)
}

fn write_to_customer(shop: &Transaction<'_>, dice: &mut Dice) -> rusqlite::Result<usize> {
    let Some(id) = some_id(shop, dice, "customers")? else {
        return Ok(0);
    };
    let note = dice
        .chance(70)
        .then(|| format!("called {} times", dice.between(1, 99)));
    shop.prepare_cached("UPDATE customers SET note = ?2, version = ?3 WHERE id = ?1")?
        .execute(params![id, note, dice.version()])
}

/// Two customers swap their addresses by way of a third that nobody has.
fn swap_emails(shop: &Transaction<'_>, dice: &mut Dice) -> rusqlite::Result<usize> {
    let (one, other) = (
        some_id(shop, dice, "customers")?,
        some_id(shop, dice, "customers")?,
    );
    let (Some(one), Some(other)) = (one, other) else {
        return Ok(0);
    };
    if one == other {
        return Ok(0);
    }
    let (ones, others) = (email(shop, one)?, email(shop, other)?);
    let rows = set_email(shop, dice, one, &format!("parked.{one}@shop.example"))?;
    Ok(rows + set_email(shop, dice, other, &ones)? + set_email(shop, dice, one, &others)?)
}

/// An address goes to another customer, whose own is then taken by nobody.
fn hand_email_on(shop: &Transaction<'_>, dice: &mut Dice) -> rusqlite::Result<usize> {
    let (from, to) = (
        some_id(shop, dice, "customers")?,
        some_id(shop, dice, "customers")?,
    );
    let (Some(from), Some(to)) = (from, to) else {
        return Ok(0);
    };
    if from == to {
        return Ok(0);
    }
    let wanted = email(shop, from)?;
    let fresh = format!("c{from}.{}@shop.example", dice.version());
    Ok(set_email(shop, dice, from, &fresh)? + set_email(shop, dice, to, &wanted)?)
}

/// An item moves to another order or to another line: its primary key changes, and with the order its order key.
fn move_item(shop: &Transaction<'_>, dice: &mut Dice) -> rusqlite::Result<usize> {
    let Some((order, line)) = some_item(shop, dice)? else {
        return Ok(0);
    };
    let target = if dice.chance(50) {
        some_id(shop, dice, "orders")?.unwrap_or(order)
    } else {
        order
    };
    shop.prepare_cached(
        "UPDATE order_items SET order_id = ?3, version = ?4,
           line = (SELECT coalesce(max(line), 0) + 1 FROM order_items WHERE order_id = ?3)
         WHERE order_id = ?1 AND line = ?2",
    )?
    .execute(params![order, line, target, dice.version()])
}

/// A payment gets the next number; sometimes its old number is given to a new payment at once.
fn renumber_payment(shop: &Transaction<'_>, dice: &mut Dice) -> rusqlite::Result<usize> {
    let Some(id) = some_id(shop, dice, "payments")? else {
        return Ok(0);
    };
    let next = next_id(shop, "payments")?;
    let rows = shop
        .prepare_cached("UPDATE payments SET id = ?2, version = ?3 WHERE id = ?1")?
        .execute(params![id, next, dice.version()])?;
    if !dice.chance(30) {
        return Ok(rows);
    }
    let Some(order) = some_id(shop, dice, "orders")? else {
        return Ok(rows);
    };
    let again = shop
        .prepare_cached("INSERT INTO payments VALUES (?1, ?2, 0.1, NULL, ?3)")?
        .execute(params![id, order, dice.version()])?;
    Ok(rows + again)
}

/// An order gets a new number: what refers to it moves along, all in one transaction.
fn renumber_order(shop: &Transaction<'_>, dice: &mut Dice) -> rusqlite::Result<usize> {
    let Some(id) = some_id(shop, dice, "orders")? else {
        return Ok(0);
    };
    let next = next_id(shop, "orders")?;
    let mut rows = shop
        .prepare_cached(
            "INSERT INTO orders SELECT ?2, customer_id, status, total_cents, receipt, ?3 FROM orders WHERE id = ?1",
        )?
        .execute(params![id, next, dice.version()])?;
    for children in ["order_items", "payments"] {
        rows += shop
            .prepare_cached(&format!(
                "UPDATE {children} SET order_id = ?2, version = ?3 WHERE order_id = ?1"
            ))?
            .execute(params![id, next, dice.version()])?;
    }
    Ok(rows
        + shop
            .prepare_cached("DELETE FROM orders WHERE id = ?1")?
            .execute([id])?)
}

/// Two customers turn out to be one: the second's orders and address go to the first, the second is deleted.
fn merge_customers(shop: &Transaction<'_>, dice: &mut Dice) -> rusqlite::Result<usize> {
    let (stays, goes) = (
        some_id(shop, dice, "customers")?,
        some_id(shop, dice, "customers")?,
    );
    let (Some(stays), Some(goes)) = (stays, goes) else {
        return Ok(0);
    };
    if stays == goes {
        return Ok(0);
    }
    let address = email(shop, goes)?;
    let mut rows = shop
        .prepare_cached("UPDATE orders SET customer_id = ?2, version = ?3 WHERE customer_id = ?1")?
        .execute(params![goes, stays, dice.version()])?;
    rows += shop
        .prepare_cached("DELETE FROM customers WHERE id = ?1")?
        .execute([goes])?;
    rows += set_email(shop, dice, stays, &address)?;
    Ok(rows + shop::audit(shop, dice, "merged")?)
}

/// A customer without orders gets a new number and keeps the address.
fn renumber_customer(shop: &Transaction<'_>, dice: &mut Dice) -> rusqlite::Result<usize> {
    let from = any_from(shop, dice, "customers")?;
    let lonely: Option<i64> = shop
        .prepare_cached(
            "SELECT id FROM customers AS c WHERE id >= ?1 AND NOT EXISTS (SELECT 1 FROM orders WHERE customer_id = c.id)
             ORDER BY id LIMIT 1",
        )?
        .query_row([from], |row| row.get(0))
        .optional()?;
    let Some(id) = lonely else { return Ok(0) };
    let next = next_id(shop, "customers")?;
    shop.prepare_cached("UPDATE customers SET id = ?2, version = ?3 WHERE id = ?1")?
        .execute(params![id, next, dice.version()])
}

/// The oldest lines go, one of two that are alike too; a few others are corrected.
fn prune_audit(shop: &Transaction<'_>, dice: &mut Dice) -> rusqlite::Result<usize> {
    let count = dice.between(1, 12);
    let rows = shop
        .prepare_cached(
            "DELETE FROM audit WHERE rowid IN (SELECT rowid FROM audit ORDER BY rowid LIMIT ?1)",
        )?
        .execute([count])?;
    Ok(rows
        + shop
            .prepare_cached("UPDATE audit SET subject = 'corrected', version = ?1 WHERE rowid = (SELECT max(rowid) FROM audit)")?
            .execute([dice.version()])?)
}

fn next_id(shop: &Transaction<'_>, table: &str) -> rusqlite::Result<i64> {
    shop.prepare_cached(&format!("SELECT coalesce(max(id), 0) + 1 FROM {table}"))?
        .query_row([], |row| row.get(0))
}

/// A number somewhere between the lowest and the highest id.
fn any_from(shop: &Transaction<'_>, dice: &mut Dice, table: &str) -> rusqlite::Result<i64> {
    let (low, high) = shop
        .prepare_cached(&format!(
            "SELECT coalesce(min(id), 0), coalesce(max(id), 0) FROM {table}"
        ))?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(dice.between(low, high))
}

fn some_id(shop: &Transaction<'_>, dice: &mut Dice, table: &str) -> rusqlite::Result<Option<i64>> {
    let from = any_from(shop, dice, table)?;
    shop.prepare_cached(&format!(
        "SELECT id FROM {table} WHERE id >= ?1 ORDER BY id LIMIT 1"
    ))?
    .query_row([from], |row| row.get(0))
    .optional()
}

fn some_item(shop: &Transaction<'_>, dice: &mut Dice) -> rusqlite::Result<Option<(i64, i64)>> {
    let from = any_from(shop, dice, "orders")?;
    shop.prepare_cached("SELECT order_id, line FROM order_items WHERE order_id >= ?1 ORDER BY order_id, line LIMIT 1")?
        .query_row([from], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

fn email(shop: &Transaction<'_>, id: i64) -> rusqlite::Result<String> {
    shop.prepare_cached("SELECT email FROM customers WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
}

fn set_email(shop: &Transaction<'_>, dice: &Dice, id: i64, email: &str) -> rusqlite::Result<usize> {
    shop.prepare_cached("UPDATE customers SET email = ?2, version = ?3 WHERE id = ?1")?
        .execute(params![id, email, dice.version()])
}
