//! SMTP sessions over tokio and TLS: accept, connect, verify, pool.
