//! A connection to PostgreSQL from a URL, with TLS where it asks for it.
