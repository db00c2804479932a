//! PostgreSQL as origin: snapshot chunks and the logical replication stream (pgoutput).
