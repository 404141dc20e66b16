//! Which TLS level holds for a mail, and why.
