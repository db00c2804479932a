//! The outbox of a service: events written into a table of its own database, in the transaction of what they tell of, and published by the capture of that database.
//!
//! ```no_run
//! use keylane::{Outbox, OutboxEvent};
//!
//! # async fn place(client: &mut tokio_postgres::Client) -> Result<(), Box<dyn std::error::Error>> {
//! let outbox = Outbox::default();
//! outbox.create_postgres(client).await?; // once
//!
//! let transaction = client.transaction().await?;
//! transaction.execute("INSERT INTO orders VALUES ($1)", &[&7_i64]).await?;
//! let event = OutboxEvent::new("orders.events", "order.placed.v1")
//!     .key("order-7")
//!     .json(&serde_json::json!({"order": 7}));
//! outbox.put_postgres(&transaction, &event).await?;
//! transaction.commit().await?; // both or neither
//! # Ok(())
//! # }
//! ```
//!
//! **Order**: events of one key come in the order of their commits. **Once**: an event stands in its topic once, however often the capturer dies; a reader that keeps to the `keylane`
//! header is shown it once under any failure, and every reader may tell a repeat by `ce_id`. **Bounds**: rows leave the table once they are published; a row that cannot be is parked there
//! (column `parked` says why) and holds up no other.

mod error;
pub use error::OutboxError;

mod event;
pub use event::{OutboxEvent, SAGA_START};

mod table;
pub use table::Outbox;
