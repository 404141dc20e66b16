//! A file is replaced as a whole: a reader, and a crash, find the old one or the new one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::PolicyFileError;

/// Puts `new` in the place of the file's text, which has to be `old`. Its mode stays, and its owner where that is allowed.
pub(super) fn replace(path: &Path, old: &str, new: &str) -> Result<(), PolicyFileError> {
    let unwritable = |source| PolicyFileError::Unwritable { path: path.to_owned(), source: Arc::new(source) };
    let mut replacement = Replacement::begin(path).map_err(unwritable)?;
    if super::read(path)? != old {
        return Err(PolicyFileError::ChangedOnDisk { path: path.to_owned() });
    }
    replacement.file.write_all(new.as_bytes()).map_err(unwritable)?;
    replacement.finish().map_err(unwritable)
}

/// What comes in the place of a file. Until it is finished or dropped, nobody else who does it this way writes in the folder.
#[derive(Debug)]
pub(super) struct Replacement {
    /// What is written.
    pub(super) file: File,
    temporary: Temporary,
    place: PathBuf,
    folder: File,
}

impl Replacement {
    /// An empty file beside this one.
    pub(super) fn begin(path: &Path) -> io::Result<Self> {
        // A link stays a link: what it leads to is replaced.
        let place = fs::canonicalize(path)?;
        let folder = File::open(place.parent().unwrap_or_else(|| Path::new("/")))?;
        folder.lock()?;
        let temporary = Temporary(place.with_file_name(temporary_name(&place)));
        // What a process that died left behind is in nobody's use: the folder is locked.
        let _ = fs::remove_file(&temporary.0);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary.0)?;
        Ok(Self { file, temporary, place, folder })
    }

    /// It is in place, for good.
    pub(super) fn finish(self) -> io::Result<()> {
        let like = fs::metadata(&self.place)?;
        let _ = fchown(&self.file, Some(like.uid()), Some(like.gid()));
        self.file.set_permissions(fs::Permissions::from_mode(like.mode() & 0o7777))?;
        self.file.sync_all()?;
        fs::rename(&self.temporary.0, &self.place)?;
        self.folder.sync_all()
    }
}

fn temporary_name(place: &Path) -> String {
    let name = place.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    format!(".{name}.new")
}

/// A file that is gone at the end, unless it has got its name.
#[derive(Debug)]
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
