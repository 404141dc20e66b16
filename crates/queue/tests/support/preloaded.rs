//! Libraries in C that a test puts between a program and the system.
#![allow(dead_code, reason = "not every test does")]

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A library to preload, compiled from this source once for each version of it.
pub(crate) fn library(source: &Path) -> PathBuf {
    let mut check = DefaultHasher::new();
    std::fs::read(source).unwrap().hash(&mut check);
    let name = source.file_stem().unwrap().to_str().unwrap();
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{:016x}.so", check.finish()));
    if !library.exists() {
        let fresh = library.with_extension(format!("{}-{:?}.fresh", std::process::id(), std::thread::current().id()));
        let status = Command::new("cc").args(["-shared", "-fPIC", "-O2", "-Wall", "-o"]).arg(&fresh).arg(source).arg("-ldl").status();
        assert!(status.unwrap().success(), "cc cannot compile {}", source.display());
        std::fs::rename(fresh, &library).unwrap();
    }
    library
}
