//! What a recipient domain publishes about its mail servers.
