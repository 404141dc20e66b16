//! The corpora of all fuzz targets, and changes of them by chance, on a stable compiler.
//!
//! `FUZZ_ROUNDS=100000 cargo test -p sealpost-fuzz` tries more of them. The seed is fixed, so that a failure comes again; its input is
//! written below `target/` and named.

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use sealpost_fuzz::{TARGETS, Target};

/// Octets of all files of one corpus at most: they are read by everybody who clones this.
const CORPUS_OCTETS: u64 = 256 << 10;

/// Octets of an input at most.
const INPUT_OCTETS: usize = 4096;

#[test]
fn corpora_replay() {
    each_target(|target| {
        let inputs = corpus(target.name);
        assert!(inputs.len() >= 3, "{} has {} files", target.name, inputs.len());
        inputs.iter().try_for_each(|input| attempt(target, input))
    });
}

#[test]
fn changed_inputs_of_the_corpora_find_nothing() {
    let rounds: usize = std::env::var("FUZZ_ROUNDS").map_or(400, |text| text.parse().unwrap());
    each_target(|target| {
        let inputs = corpus(target.name);
        let mut chance = Chance(0x9e37_79b9_7f4a_7c15 ^ target.name.len() as u64);
        let rounds = if target.is_slow { rounds / 20 } else { rounds };
        (0..rounds).try_for_each(|_| attempt(target, &chance.changed(&inputs)))
    });
}

/// The negative control: a property that does not hold is seen, and its input kept.
#[test]
fn what_does_not_hold_is_seen() {
    fn never_an_a(input: &[u8]) {
        assert!(!input.contains(&b'a'));
    }
    let target = Target { name: "control", run: never_an_a, is_slow: false };
    let inputs = [b"bcd".to_vec(), b"`".to_vec()];
    let mut chance = Chance(7);
    let is_seen = |input: &[u8]| catch_unwind(|| (target.run)(input)).is_err();
    assert!(!is_seen(&inputs[0]));
    assert!((0..20_000).any(|_| is_seen(&chance.changed(&inputs))));
}

#[test]
fn each_target_has_its_program_and_its_corpus_within_bounds() {
    let programs = names(&root().join("fuzz_targets"));
    let corpora = names(&root().join("corpus"));
    let mut targets: Vec<_> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    targets.sort();
    assert_eq!(programs, targets.iter().map(|name| format!("{name}.rs")).collect::<Vec<_>>());
    assert_eq!(corpora, targets);
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    for name in &targets {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is no program of fuzz/Cargo.toml");
        let sizes = fs::read_dir(root().join("corpus").join(name)).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
        let octets: u64 = sizes.sum();
        assert!(octets <= CORPUS_OCTETS, "{name}: {octets} octets; `cargo fuzz cmin` makes fewer of them");
    }
}

/// What does not hold of any target is told when all were tried.
fn each_target(each: impl Fn(&Target) -> Result<(), String> + Sync) {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let failed = std::sync::Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(target) = TARGETS.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    if let Err(why) = each(target) {
                        failed.lock().unwrap().push(why);
                    }
                }
            });
        }
    });
    assert_eq!(failed.into_inner().unwrap(), <[String; 0]>::default());
}

/// Runs a target; what it does not bear is kept where it can be found.
fn attempt(target: &Target, input: &[u8]) -> Result<(), String> {
    if catch_unwind(|| (target.run)(input)).is_err() {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let file = folder.join(format!("{}-failed", target.name));
        fs::write(&file, input).unwrap();
        return Err(format!("{} fails with {}", target.name, file.display()));
    }
    Ok(())
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = root().join("corpus").join(name);
    names(&folder).iter().map(|file| fs::read(folder.join(file)).unwrap()).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// xorshift64*: chance that comes again.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap()
    }

    fn below(&mut self, end: usize) -> usize {
        self.next() % end.max(1)
    }

    /// One of the inputs with some changes, as libFuzzer makes them.
    fn changed(&mut self, inputs: &[Vec<u8>]) -> Vec<u8> {
        let mut input = inputs[self.below(inputs.len())].clone();
        for _ in 0..=self.below(4) {
            let at = self.below(input.len() + 1);
            match self.below(8) {
                0 => input.insert(at, u8::try_from(self.below(256)).unwrap()),
                1 => {
                    let end = (at + self.below(9)).min(input.len());
                    input.drain(at..end);
                }
                2 => drop(input.get_mut(at).map(|octet| *octet ^= 1 << self.below(8))),
                3 => drop(input.get_mut(at).map(|octet| *octet = [0, 0xff, b'\r', b'\n', b' ', b'"', b'=', b';'][self.below(8)])),
                4 => {
                    let other = &inputs[self.below(inputs.len())];
                    let from = self.below(other.len() + 1);
                    let end = (from + self.below(64)).min(other.len());
                    input.splice(at..at, other[from..end].iter().copied());
                }
                5 => {
                    let end = (at + self.below(32)).min(input.len());
                    let again = input[at..end].to_vec();
                    input.splice(at..at, again);
                }
                6 => input.truncate(at),
                _ => {
                    let other = &inputs[self.below(inputs.len())];
                    input.truncate(at);
                    input.extend_from_slice(&other[at.min(other.len())..]);
                }
            }
        }
        input.truncate(INPUT_OCTETS);
        input
    }
}
