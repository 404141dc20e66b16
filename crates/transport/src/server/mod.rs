//! The accepting side.

mod listen;

pub use listen::{ListenError, ListenOptions, listen};
