//! Clients, keys and streams, kept in SQLite.
