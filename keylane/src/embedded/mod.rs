//! The embedded log: a durable partitioned log in one SQLite file, for processes of one machine.
