//! What must not break the relay: short here, and as long as a variable of the environment says. docs/reliability.md has the
//! figures of the long runs.

mod crash;
mod crowd;
mod exhaustion;
mod faulty;
mod names;
mod network;
mod soak;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use std::{env, fs, io};

use crate::client::Client;
use crate::preloaded;
use crate::relay::House;

/// The number in this variable of the environment, or else this one.
pub(crate) fn number(variable: &str, otherwise: u64) -> u64 {
    env::var(variable).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}: a number is meant")))
}

/// Random enough, and the same for the same seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// Below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % limit
    }
}

/// Whether the relay of this house greets.
pub(crate) fn greets(house: &House) -> bool {
    Client::connect(house.address).map(Client::quit).is_ok()
}

/// The log is moved away, and must not hold a panic.
pub(crate) fn take_log(house: &House) -> String {
    let log = fs::read_to_string(house.file("relay.log")).unwrap_or_default();
    assert!(!log.contains("panicked"), "{log}");
    let _ = fs::remove_file(house.file("relay.log"));
    log
}

/// A folder with all that is in it.
pub(crate) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()))?;
        } else if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// Tells others to stop, also when a test fails.
pub(crate) struct Stop<'a>(pub(crate) &'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// The relay's clock runs so many times as fast from now on, over its restarts too.
pub(crate) fn sped_up(house: House, speed: u64) -> House {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    with_clock(house).environment("CLOCK_SPEED", speed.to_string()).environment("CLOCK_BASE", now.to_string())
}

/// The relay reads its clock through `clock.c`.
pub(crate) fn with_clock(house: House) -> House {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/torture/clock.c");
    house.environment("LD_PRELOAD", preloaded::library(&source).display().to_string())
}
