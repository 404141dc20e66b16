//! The persistent retry queue of a mail relay.
