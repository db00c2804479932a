//! The three services: what each has to give, and the steps that take it and put it back. Both styles run the same steps.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;
use keylane::participant::{
    Call, Reaction, SqliteChoreography, SqliteHandler, SqliteParticipant, SqliteSteps, StepError,
};
use rand::Rng as _;
use rand::rngs::StdRng;
use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::{Value, json};

/// Of a hundred attempts at a step so many fail for no reason, and are made again.
const HICCUPS: u32 = 4;
/// The travellers' purses: for each trip that is begun so much is in each, a little less than trips cost.
const ACCOUNTS: i64 = 40;
const PURSE_OF_TRIP: i64 = 12;
const PURSE_MIN: i64 = 1_500;

/// A service of the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Service {
    /// Seats.
    Flight,
    /// Rooms.
    Hotel,
    /// Money.
    Payment,
}

/// What every service's file holds: what is there to be had, what was given away, and a line for each effect, which nothing ever takes back.
const TABLES: &str = "
    PRAGMA journal_mode = WAL;
    CREATE TABLE stock (id INTEGER PRIMARY KEY, left_over INTEGER NOT NULL CHECK (left_over >= 0));
    CREATE TABLE given (only_one INTEGER PRIMARY KEY CHECK (only_one = 1), amount INTEGER NOT NULL);
    INSERT INTO given VALUES (1, 0);
    CREATE TABLE effects (number INTEGER PRIMARY KEY, saga TEXT NOT NULL, what TEXT NOT NULL, amount INTEGER NOT NULL)";

impl Service {
    /// All of them, in the order in which a trip's events go.
    pub const ALL: [Service; 3] = [Service::Flight, Service::Hotel, Service::Payment];

    /// Its name, that of its step, too.
    pub fn name(self) -> &'static str {
        match self {
            Service::Flight => "flight",
            Service::Hotel => "hotel",
            Service::Payment => "payment",
        }
    }

    /// Its file.
    pub fn file(self, folder: &Path) -> PathBuf {
        folder.join(format!("{}.db", self.name()))
    }

    /// The topic of its events.
    pub fn topic(self) -> String {
        format!("{}.events", self.name())
    }

    /// The event that sets its step going where nobody drives it.
    pub fn consumes(self) -> &'static str {
        match self {
            Service::Flight => ORDERED,
            Service::Hotel => "flight.booked",
            Service::Payment => "hotel.booked",
        }
    }

    /// The event that its step is done.
    pub fn emits(self) -> String {
        format!("{}.booked", self.name())
    }

    /// Why it says no.
    fn refusal(self) -> &'static str {
        match self {
            Service::Flight => "no seat is left",
            Service::Hotel => "no room is left",
            Service::Payment => "the account does not cover it",
        }
    }

    /// Makes its file, with so much to be had that these trips take all of some of it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn make(self, folder: &Path, trips: u64, dice: &mut StdRng) -> rusqlite::Result<()> {
        let file = Connection::open(self.file(folder))?;
        file.execute_batch(TABLES)?;
        let trips = i64::try_from(trips).unwrap_or(i64::MAX);
        let stock: Vec<i64> = match self {
            Service::Payment => {
                vec![trips.saturating_mul(PURSE_OF_TRIP).max(PURSE_MIN); ACCOUNTS as usize]
            }
            // A tenth of them are small.
            Service::Flight | Service::Hotel => (0..PLACES)
                .map(|number| match number % 10 {
                    0 => dice.random_range(1..=3),
                    _ => trips,
                })
                .collect(),
        };
        let transaction = file.unchecked_transaction()?;
        for left_over in stock {
            transaction.execute("INSERT INTO stock (left_over) VALUES (?1)", [left_over])?;
        }
        transaction.commit()
    }

    /// What it does for a trip.
    fn book(self) -> SqliteHandler {
        Arc::new(move |call, tx| {
            hiccup()?;
            let trip = trip_of(&call.input);
            let (id, amount) = self.asked(trip);
            let sql = "UPDATE stock SET left_over = left_over - ?2 WHERE id = ?1 AND left_over >= ?2 RETURNING left_over";
            let left: Option<i64> = tx
                .query_row(sql, [id, amount], |row| row.get(0))
                .optional()?;
            if left.is_none() {
                return Err(StepError::rejected(self.refusal()));
            }
            note(tx, call, "book", amount)?;
            Ok(json!({"id": id, "amount": amount, "trip": trip}))
        })
    }

    /// How that is put back, from what it answered.
    fn cancel(self) -> SqliteHandler {
        Arc::new(move |call, tx| {
            hiccup()?;
            let number = |name: &str| call.reply[name].as_i64();
            let (Some(id), Some(amount)) = (number("id"), number("amount")) else {
                return Err(StepError::failed("the booking's answer is not here"));
            };
            let sql = "UPDATE stock SET left_over = left_over + ?2 WHERE id = ?1";
            tx.execute(sql, [id, amount])?;
            note(tx, call, "cancel", -amount)?;
            Ok(Value::Null)
        })
    }

    /// Of which stock a trip takes how much.
    fn asked(self, trip: &Value) -> (i64, i64) {
        let number = |name: &str| trip[name].as_i64().unwrap_or_default();
        match self {
            Service::Flight => (number("flight"), 1),
            Service::Hotel => (number("hotel"), 1),
            Service::Payment => (number("account"), number("price")),
        }
    }

    /// Its steps for the orchestrator.
    ///
    /// # Errors
    /// In words, if its file cannot be used.
    pub async fn participant(self, folder: &Path) -> Result<SqliteParticipant, String> {
        let name = self.name();
        let (book, cancel) = (self.book(), self.cancel());
        let steps = SqliteSteps::default()
            .on(format!("{name}.book"))
            .action(move |call, tx| book(call, tx))
            .undo(format!("{name}.cancel"), move |call, tx| cancel(call, tx));
        SqliteParticipant::open(self.file(folder), format!("/{name}"), steps).await
    }

    /// Its step for trips that nobody drives.
    ///
    /// # Errors
    /// In words, if its file cannot be used.
    pub async fn choreography(self, folder: &Path) -> Result<SqliteChoreography, String> {
        let step = Reaction::of(self.name(), self.topic())
            .on(self.consumes())
            .action(self.book())
            .undo(self.cancel())
            .emits(self.emits());
        SqliteChoreography::open(self.file(folder), format!("/{}", self.name()), vec![step]).await
    }
}

/// The event that begins a trip which nobody drives, and its topic.
pub const ORDERED: &str = "trip.ordered";
pub const ORDERS: &str = "shop.events";

/// Flights and hotels.
const PLACES: i64 = 30;

/// A trip that somebody orders.
pub fn trip(dice: &mut StdRng) -> Value {
    json!({
        "flight": dice.random_range(1..=PLACES),
        "hotel": dice.random_range(1..=PLACES),
        "account": dice.random_range(1..=ACCOUNTS),
        "price": dice.random_range(1..=40) * 25,
    })
}

/// The trip in a command's input, in the event that orders it, or in the event of the step before.
fn trip_of(input: &Value) -> &Value {
    match &input["trip"] {
        Value::Null => input,
        trip => trip,
    }
}

fn hiccup() -> Result<(), StepError> {
    match rand::random_range(0..100) < HICCUPS {
        true => Err(StepError::failed("a hiccup, as any program has them")),
        false => Ok(()),
    }
}

fn note(tx: &Connection, call: &Call, what: &str, amount: i64) -> rusqlite::Result<()> {
    tx.execute("UPDATE given SET amount = amount + ?1", [amount])?;
    let sql = "INSERT INTO effects (saga, what, amount) VALUES (?1, ?2, ?3)";
    tx.execute(sql, params![call.saga, what, amount]).map(drop)
}
