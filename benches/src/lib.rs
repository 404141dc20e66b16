//! Benches of the libraries: `cargo bench -p sealpost-benches`. Each compares sizes or ways side by side in one run; how a
//! figure came about stands in `docs/performance.md`.
