//! Why a policy does not come into force.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use sealpost_discovery::Validation;
use sealpost_policy::{EditError, EntryId, Named, Place, PolicyErrors};
use sealpost_queue::SpoolError;
use sealpost_types::{Blame, Retry};

use super::{GUARD_PERCENT, NamedFileFault};

/// Why a policy does not come into force. The one before stays in force, unless the error says otherwise.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyFileError {
    /// The relay runs with the built-in policy.
    #[error("no policy file is configured: policy = \"policy.toml\" is needed in sealpost.toml, and a restart")]
    NoFile,
    /// The file cannot be read.
    #[error("cannot read the policy {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: Arc<io::Error>,
    },
    /// The policy is wrong.
    #[error(transparent)]
    Policy(#[from] PolicyErrors),
    /// The policy asks for DANE, and no answer of the DNS is proven: such mail would wait for ever.
    #[error(
        "{place}: a level that rests on DNSSEC (dane, dane-only, dane_satisfies) cannot be held: {reason}; \
         a validating resolver in [dns] servers is meant, or another level"
    )]
    NeedsDnssec {
        /// Where it is written.
        place: Place,
        /// What is known of the validation, in words.
        reason: String,
    },
    /// A file that the policy names beside itself cannot be used.
    #[error("{place}: a file that is named here cannot be used")]
    NamedFile {
        /// Where the policy names it.
        place: Place,
        /// What is wrong with it.
        #[source]
        fault: Arc<NamedFileFault>,
    },
    /// An included list would go.
    #[error("the included list {file:?} would go with all its entries; --force (over HTTP `force`) is needed if that is meant")]
    ListGone {
        /// What the policy calls it.
        file: String,
    },
    /// No such list is included.
    #[error("the policy in force includes no list {file:?}; the name is meant that `file` has in [[include]]")]
    NoList {
        /// What was named.
        file: String,
    },
    /// An edit cannot be made.
    #[error("{problem}")]
    Edit {
        /// Which of them, from 1.
        number: usize,
        /// Why.
        problem: EditError,
    },
    /// More entries would go than a slip may take away.
    #[error("{} of {before} entries would go, more than {GUARD_PERCENT} %: {gone}; --force (over HTTP `force`) is needed if that is meant", gone.count)]
    Guarded {
        /// Entries in force.
        before: usize,
        /// Those of them that would not be enforced any more.
        gone: Named,
    },
    /// A list would be there, and nothing in it.
    #[error("nothing would be left in {list}; --force (over HTTP `force`) is needed if that is meant")]
    Emptied {
        /// A `[[list]]` or an `[[include]]`.
        list: EntryId,
    },
    /// Somebody else wrote the file since it was read: an edit would bring that into force unseen.
    #[error("{} was changed since it was read; `sealpost reload` first, then the change again", path.display())]
    ChangedOnDisk {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error("cannot write the policy {}", path.display())]
    Unwritable {
        /// The file, or what lies beside it.
        path: PathBuf,
        /// What the system says.
        source: Arc<io::Error>,
    },
    /// The policy is in force, and the queue could not record that the mail that waits for TLS is let go.
    #[error("the policy is in force, but mail that waits for TLS is still held")]
    Release(#[from] SpoolError),
    /// The relay is stopping.
    #[error("the relay is stopping")]
    Stopping,
}

impl PolicyFileError {
    /// Whether a policy that rests on DNSSEC at `place` can be held, by what is known of the validation.
    ///
    /// # Errors
    /// [`PolicyFileError::NeedsDnssec`]: it is certain that no answer is proven, so that such mail would wait for ever.
    pub fn unless_proven(place: Place, validation: &Validation) -> Result<(), Self> {
        if validation.is_ruled_out() { Err(Self::NeedsDnssec { place, reason: validation.to_string() }) } else { Ok(()) }
    }

    /// Whose fault it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::NoFile
            | Self::Policy(_)
            | Self::NeedsDnssec { .. }
            | Self::NamedFile { .. }
            | Self::ListGone { .. }
            | Self::NoList { .. }
            | Self::Edit { .. }
            | Self::Guarded { .. }
            | Self::Emptied { .. }
            | Self::ChangedOnDisk { .. } => Blame::Caller,
            Self::Unreadable { .. } | Self::Unwritable { .. } | Self::Release(_) | Self::Stopping => Blame::Us,
        }
    }

    /// Not before somebody changes something.
    #[must_use]
    pub fn retry(&self) -> Retry {
        Retry::Never
    }
}
