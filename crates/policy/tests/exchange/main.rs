//! Import and export: the tables of docs/policy/import.md, run as they are printed, and what holds for any table.

mod csv;
mod postfix;
mod postmap;
mod rows;
mod tables;
