//! Who may log in: the users file, and the check of a password against it.

mod book;

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use argon2::{Argon2, PasswordHasher as _};
use sealpost_types::{Blame, Retry};

use self::book::{Book, name_problem};
use crate::config::ConfigError;
use crate::error::StartError;
use crate::places::explained;

/// The names that may log in, with the hashes of their passwords.
///
/// One `name:hash` a line, the hash as argon2id in PHC form; empty lines and lines that begin with `#` count for nothing.
/// [`users_line`] makes such a line. Names and passwords are compared octet by octet.
///
/// A file that was [opened](Self::open) is read again at the next login after it changed. If the new one is wrong, the log
/// says so and the old one stays in force.
///
/// # Limits
/// A hash may ask for [`HASH_MEMORY_KIB`] and for [`HASH_PASSES`]: it is computed for whoever knocks.
pub struct Users {
    path: Option<PathBuf>,
    current: Mutex<Current>,
}

/// What is in force, and which state of the file was looked at last.
struct Current {
    book: Arc<Book>,
    seen: Option<Stamp>,
}

/// What changes when a file does: when it was written, how long it is, and which file it is.
type Stamp = (SystemTime, u64, u64);

/// Why there is no line for the users file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UsersLineError {
    /// The name cannot stand in the file.
    #[error("the name {name:?} {problem}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The password is empty.
    #[error("the password is empty; one octet at least is meant")]
    NoPassword,
    /// The system gives no random octets for the salt, or no memory.
    #[error("the password cannot be hashed: {detail}")]
    Hash {
        /// What the library says.
        detail: Box<str>,
    },
}

impl Users {
    /// The users of `text`, the content of the file `name`.
    ///
    /// # Errors
    /// [`ConfigError`] with every line that is wrong, and what would be right. It repeats no part of a hash.
    pub fn parse(name: &str, text: &str) -> Result<Self, ConfigError> {
        Ok(Self { path: None, current: Mutex::new(Current { book: Arc::new(Book::parse(name, text)?), seen: None }) })
    }

    /// The users of this file, now and whenever it changes.
    ///
    /// # Errors
    /// [`StartError::Unreadable`], and [`StartError::Config`] as for [`parse`](Self::parse).
    pub fn open(path: &Path) -> Result<Self, StartError> {
        let (seen, book) = (stamp(path), read(path)?);
        Ok(Self { path: Some(path.to_owned()), current: Mutex::new(Current { book: Arc::new(book), seen }) })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.current().len()
    }

    /// Whether there is nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether this is somebody's name. Only such a name goes into the log: any other may be a password in the wrong place.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.current().has(name)
    }

    /// Whether this is the password of `name`.
    ///
    /// It takes some hundredths of a second and megabytes of memory, as long for an unknown name as for a known one.
    pub(crate) fn verify(&self, name: &str, password: &[u8]) -> bool {
        self.current().verify(name, password)
    }

    fn current(&self) -> Arc<Book> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = &self.path {
            let now = stamp(path);
            if now != current.seen {
                current.seen = now;
                match read(path) {
                    Ok(book) => {
                        tracing::info!(file = %path.display(), users = book.len(), "the users file was read again");
                        current.book = Arc::new(book);
                    }
                    Err(error) => {
                        let error = sealpost_types::WithCauses(&error);
                        tracing::error!(%error, "the users file changed and cannot be used: the one of before stays in force");
                    }
                }
            }
        }
        Arc::clone(&current.book)
    }
}

/// The line of a users file for this name and password, with a salt of its own and without a line end.
///
/// # Errors
/// [`UsersLineError`].
///
/// # Example
/// ```
/// # use sealpost_relay::{Users, users_line};
/// let line = users_line("ann", b"correct horse battery staple")?;
/// assert!(line.starts_with("ann:$argon2id$"));
/// assert_eq!(Users::parse("users", &line)?.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn users_line(name: &str, password: &[u8]) -> Result<String, UsersLineError> {
    if let Some(problem) = name_problem(name) {
        return Err(UsersLineError::Name { name: name.to_owned(), problem });
    }
    Ok(format!("{name}:{}", password_hash(password)?))
}

/// What stands behind the colon of such a line: the password's argon2id hash in PHC form, with a salt of its own.
///
/// # Errors
/// [`UsersLineError::NoPassword`] and [`UsersLineError::Hash`].
pub fn password_hash(password: &[u8]) -> Result<String, UsersLineError> {
    if password.is_empty() {
        return Err(UsersLineError::NoPassword);
    }
    let hash = Argon2::default().hash_password(password);
    hash.map(|hash| hash.to_string()).map_err(|error| UsersLineError::Hash { detail: error.to_string().into() })
}

fn read(path: &Path) -> Result<Book, StartError> {
    let text = fs::read_to_string(path).map_err(|source| StartError::Unreadable {
        what: "[auth] users",
        path: path.to_owned(),
        source: explained(source),
    })?;
    let book = Book::parse(&path.display().to_string(), &text)?;
    if book.len() == 0 {
        tracing::warn!(file = %path.display(), "the users file is empty: nobody can log in");
    }
    Ok(book)
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
}

impl UsersLineError {
    /// Whose fault it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::Name { .. } | Self::NoPassword => Blame::Caller,
            Self::Hash { .. } => Blame::Us,
        }
    }

    /// Whether it may work again by itself.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Name { .. } | Self::NoPassword => Retry::Never,
            Self::Hash { .. } => Retry::Later,
        }
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Users").field("path", &self.path).finish_non_exhaustive()
    }
}

/// KiB of memory that a hash may ask for: 256 MiB.
pub const HASH_MEMORY_KIB: u32 = 256 << 10;

/// Passes over that memory that a hash may ask for.
pub const HASH_PASSES: u32 = 16;

#[cfg(test)]
pub(crate) mod tests {
    pub(crate) use super::book::tests::line;
    use super::*;

    #[test]
    fn a_line_is_made_and_its_mistakes_are_named() {
        let line = users_line("ann", b"hunter2").unwrap();
        let users = Users::parse("users", &line).unwrap();
        assert!(users.verify("ann", b"hunter2") && !users.verify("ann", b"hunter3"));
        assert_ne!(line, users_line("ann", b"hunter2").unwrap(), "each has a salt of its own");
        assert_eq!(users_line("ann", b""), Err(UsersLineError::NoPassword));
        for name in ["", "a:b", "#ann", " ann", "ann\n"] {
            assert!(matches!(users_line(name, b"x"), Err(UsersLineError::Name { .. })), "{name:?}");
        }
    }

    #[test]
    fn a_changed_file_is_read_again_and_a_wrong_one_is_not_taken() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        let write = |text: &str| {
            // Renamed into its place, as careful programs do: another file, whatever the clock says.
            fs::write(directory.path().join("new"), text).unwrap();
            fs::rename(directory.path().join("new"), &path).unwrap();
        };
        assert!(matches!(Users::open(&path), Err(StartError::Unreadable { .. })));
        write(&line("ann", b"old"));
        let users = Users::open(&path).unwrap();
        assert!(users.verify("ann", b"old"));
        write(&line("ann", b"new"));
        assert!(users.verify("ann", b"new") && !users.verify("ann", b"old"));
        write("ann\n");
        assert!(users.verify("ann", b"new"), "the one of before stays");
        fs::remove_file(&path).unwrap();
        assert!(users.verify("ann", b"new"), "and so it does when the file is gone");
        write("");
        assert!(users.is_empty(), "an empty file is a file");
        assert!(!users.verify("ann", b"new"));
    }
}
