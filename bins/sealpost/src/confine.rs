//! The relay gives up what it has no use for: with Landlock it keeps to the folders that its files name, and runs no other program.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible as _, RestrictionStatus, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, path_beneath_rules,
};
use sealpost_relay::config::Landlock;
use sealpost_relay::{Places, process_is_confined};

use crate::commands::Failure;

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Confinement {
    /// It holds.
    Holds,
    /// It holds, but for what this kernel does not know.
    HoldsInPart,
    /// This kernel has none.
    Unknown,
    /// It is switched off.
    Off,
}

/// Restricts this thread, and every thread that it starts from now on.
///
/// # Errors
/// Where `setting` is [`Landlock::On`]: this kernel cannot do all of it.
pub(crate) fn confine(setting: Landlock, places: &Places) -> Result<Confinement, Failure> {
    if setting == Landlock::Off {
        return Ok(Confinement::Off);
    }
    let status =
        restrict(setting, places).map_err(|error| format!("[process] landlock = \"on\", and this kernel cannot do it: {error}"))?;
    let confinement = match status.ruleset {
        RulesetStatus::FullyEnforced => Confinement::Holds,
        RulesetStatus::PartiallyEnforced => Confinement::HoldsInPart,
        RulesetStatus::NotEnforced => Confinement::Unknown,
    };
    if confinement == Confinement::Unknown && setting == Landlock::On {
        return Err("[process] landlock = \"on\", and this kernel has no Landlock; \"best-effort\" starts all the same".to_owned());
    }
    Ok(confinement)
}

/// The same for the relay, with a line in the log that says what holds.
pub(crate) fn confine_relay(setting: Landlock, places: &Places) -> Result<(), Failure> {
    let confinement = confine(setting, places)?;
    match confinement {
        Confinement::Holds | Confinement::HoldsInPart => {
            process_is_confined();
            tracing::info!("{}; reads in {}; writes in {}", confinement.in_words(), listed(&places.read), listed(&places.write));
        }
        Confinement::Unknown => tracing::warn!("{}", confinement.in_words()),
        Confinement::Off => tracing::info!("{}", confinement.in_words()),
    }
    Ok(())
}

impl Confinement {
    /// For the log, and for `sealpost check`.
    pub(crate) fn in_words(self) -> &'static str {
        match self {
            Self::Holds => "confined by Landlock",
            Self::HoldsInPart => "confined by Landlock as far as this kernel knows it",
            Self::Unknown => "not confined: this kernel has no Landlock",
            Self::Off => "not confined ([process] landlock)",
        }
    }
}

fn listed(folders: &BTreeSet<PathBuf>) -> String {
    folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn restrict(setting: Landlock, places: &Places) -> Result<RestrictionStatus, RulesetError> {
    let level = if setting == Landlock::On { CompatLevel::HardRequirement } else { CompatLevel::BestEffort };
    Ruleset::default()
        .set_compatibility(level)
        // Whatever is known here is forbidden unless it is allowed below: to execute is allowed nowhere.
        .handle_access(AccessFs::from_all(KNOWN))?
        .create()?
        .add_rules(path_beneath_rules(&places.read, reading()))?
        .add_rules(path_beneath_rules(of_the_system(), reading()))?
        .add_rules(path_beneath_rules(&places.write, writing()))?
        .add_rules(path_beneath_rules(["/dev/null"], AccessFs::ReadFile | AccessFs::WriteFile))?
        .restrict_self()
}

fn reading() -> BitFlags<AccessFs> {
    AccessFs::ReadFile | AccessFs::ReadDir
}

fn writing() -> BitFlags<AccessFs> {
    reading()
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::MakeSock
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer
}

/// What libraries read: name servers, trust anchors, time zones, names of users, numbers of the process.
fn of_the_system() -> Vec<PathBuf> {
    let of_environment = ["SSL_CERT_FILE", "SSL_CERT_DIR", "TZDIR"].into_iter().filter_map(std::env::var_os).map(PathBuf::from);
    let known = SYSTEM.iter().map(PathBuf::from).chain(of_environment);
    // A link needs what it leads to.
    known.flat_map(|path| [path.canonicalize().ok(), Some(path)]).flatten().filter(|path| path != Path::new("/")).collect()
}

const SYSTEM: &[&str] = &[
    "/dev/random",
    "/dev/urandom",
    "/etc/ca-certificates",
    "/etc/hosts",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/pki",
    "/etc/resolv.conf",
    "/etc/ssl",
    "/proc",
    "/sys/devices/system/cpu",
    "/sys/fs/cgroup",
    "/usr/lib/ssl",
    "/usr/local/share/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/share/zoneinfo",
];

/// What Landlock has known since Linux 6.2; later additions are not about what a mail relay does.
const KNOWN: ABI = ABI::V3;
