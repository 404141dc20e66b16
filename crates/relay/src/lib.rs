//! The mail relay as a library: listeners, decision, queue, delivery.

pub mod config;
