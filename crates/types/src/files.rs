//! Files that a policy names, and that somebody else reads.

use std::fmt;
use std::sync::Arc;

/// Files of trust anchors, by the names that a policy gives them: sorted, each once.
///
/// [`AnchorFiles::SYSTEM`] among them stands for the anchors that are trusted where nothing is named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(from = "Vec<String>", into = "Vec<String>"))]
pub struct AnchorFiles(Arc<[String]>);

/// Which certificate the relay shows to a server that asks for one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ClientIdentity {
    /// The one that it shows where nothing is said, if there is one.
    #[default]
    Usual,
    /// None.
    Withheld,
    /// The one in these files, by the names that a policy gives them.
    Files {
        /// The chain, the relay's own certificate first.
        certificate: Arc<str>,
        /// Its private key; it may be the same file.
        key: Arc<str>,
    },
}

impl AnchorFiles {
    /// The word for the anchors that are trusted where nothing is named. A file of that name is written `./system`.
    pub const SYSTEM: &str = "system";

    /// These files.
    #[must_use]
    pub fn new(mut files: Vec<String>) -> Self {
        files.sort();
        files.dedup();
        Self(files.into())
    }

    /// Whether they are the usual anchors and nothing else.
    #[must_use]
    pub fn is_system(&self) -> bool {
        self.0.iter().all(|file| file == Self::SYSTEM)
    }

    /// Whether the usual anchors are among them.
    #[must_use]
    pub fn has_system(&self) -> bool {
        self.0.iter().any(|file| file == Self::SYSTEM)
    }

    /// The files, without the word for the usual anchors.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str).filter(|file| *file != Self::SYSTEM)
    }

    /// All that is written.
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }
}

impl ClientIdentity {
    /// The word for none.
    pub const NONE: &str = "none";

    /// The certificate in one file, its key in the same or another.
    #[must_use]
    pub fn of_files(certificate: &str, key: Option<&str>) -> Self {
        Self::Files { certificate: certificate.into(), key: key.unwrap_or(certificate).into() }
    }
}

impl From<Vec<String>> for AnchorFiles {
    fn from(files: Vec<String>) -> Self {
        Self::new(files)
    }
}

impl From<AnchorFiles> for Vec<String> {
    fn from(files: AnchorFiles) -> Self {
        files.0.to_vec()
    }
}

/// `bank-ca.pem or shop-ca.pem`.
impl fmt::Display for AnchorFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(index, file)| write!(f, "{}{file}", if index > 0 { " or " } else { "" }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_files_are_the_same_however_they_are_written() {
        let files = |names: &[&str]| AnchorFiles::new(names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(files(&["b.pem", "a.pem", "b.pem"]), files(&["a.pem", "b.pem"]));
        let both = files(&["system", "a.pem"]);
        assert!(both.has_system() && !both.is_system() && both.files().eq(["a.pem"]));
        assert!(files(&["system"]).is_system());
        assert_eq!(files(&["./system"]).files().count(), 1);
    }
}
