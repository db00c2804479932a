//! The integration tests of `keylane-server`: one binary, one module per area.

#[path = "main/bad_records.rs"]
mod bad_records;
#[path = "main/bad_rows.rs"]
mod bad_rows;
#[path = "main/bed.rs"]
mod bed;
#[path = "main/carried_again.rs"]
mod carried_again;
#[path = "main/chaos/mod.rs"]
mod chaos;
#[path = "main/check_mends.rs"]
mod check_mends;
#[path = "main/check_tables.rs"]
mod check_tables;
#[path = "main/choreographies.rs"]
mod choreographies;
#[path = "main/commands.rs"]
mod commands;
#[path = "main/config.rs"]
mod config;
#[path = "main/config_init.rs"]
mod config_init;
#[path = "main/config_mutations.rs"]
mod config_mutations;
#[path = "main/consume.rs"]
mod consume;
#[path = "main/consume_redrive.rs"]
mod consume_redrive;
#[path = "main/copying.rs"]
mod copying;
#[path = "main/cut_off.rs"]
mod cut_off;
#[path = "main/debezium.rs"]
mod debezium;
#[path = "main/demo.rs"]
mod demo;
#[path = "main/docs_commands.rs"]
mod docs_commands;
#[path = "main/foreign_keys.rs"]
mod foreign_keys;
#[path = "main/full_disk.rs"]
mod full_disk;
#[path = "main/gate.rs"]
mod gate;
#[path = "main/group.rs"]
mod group;
#[path = "main/help.rs"]
mod help;
#[path = "main/http.rs"]
mod http;
#[path = "main/in_flight.rs"]
mod in_flight;
#[path = "main/init.rs"]
mod init;
#[path = "main/leaders.rs"]
mod leaders;
#[path = "main/loaded.rs"]
mod loaded;
#[path = "main/members.rs"]
mod members;
#[path = "main/missing_rows.rs"]
mod missing_rows;
#[path = "main/neighbours.rs"]
mod neighbours;
#[path = "main/notify/mod.rs"]
mod notify;
#[path = "main/outages.rs"]
mod outages;
#[path = "main/outbox/mod.rs"]
mod outbox;
#[path = "main/parked.rs"]
mod parked;
#[path = "main/reconcile/mod.rs"]
mod reconcile;
#[path = "main/redrive.rs"]
mod redrive;
#[path = "main/restored.rs"]
mod restored;
#[path = "main/roles.rs"]
mod roles;
#[path = "main/running.rs"]
mod running;
#[path = "main/saga_check.rs"]
mod saga_check;
#[path = "main/saga_definitions.rs"]
mod saga_definitions;
#[path = "main/saga_mistakes.rs"]
mod saga_mistakes;
#[path = "main/saga_mutations.rs"]
mod saga_mutations;
#[path = "main/sagas/mod.rs"]
mod sagas;
#[path = "main/secrets.rs"]
mod secrets;
#[path = "main/settle.rs"]
mod settle;
#[path = "main/site.rs"]
mod site;
#[path = "main/states.rs"]
mod states;
#[path = "main/status.rs"]
mod status;
#[path = "main/steady.rs"]
mod steady;
#[path = "main/threads.rs"]
mod threads;
#[path = "main/tls/mod.rs"]
mod tls;
#[path = "main/topics/mod.rs"]
mod topics;
#[path = "main/whole_transactions.rs"]
mod whole_transactions;
#[path = "main/whole_transactions_sqlite.rs"]
mod whole_transactions_sqlite;
#[path = "main/zombies.rs"]
mod zombies;
