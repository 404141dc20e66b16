//! What the test tool shares with the relay's command line.

pub mod certificates;
