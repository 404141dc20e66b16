//! SQLite as Sealpost uses it: open, lock, migrate, batch, poison.
