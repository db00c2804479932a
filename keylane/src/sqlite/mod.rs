//! SQLite: as origin (triggers into a change table) and as replica.
