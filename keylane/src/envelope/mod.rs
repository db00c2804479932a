//! The Debezium envelope: how a change is written in a record's value, and read from it.
