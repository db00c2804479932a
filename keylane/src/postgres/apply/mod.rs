//! PostgreSQL as replica: rows and progress in one transaction.
