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
    // A link stays a link: what it leads to is replaced.
    let place = fs::canonicalize(path).map_err(unwritable)?;
    let folder = File::open(place.parent().unwrap_or_else(|| Path::new("/"))).map_err(unwritable)?;
    // Nobody else who does it this way writes between the look and the replacement.
    folder.lock().map_err(unwritable)?;
    if super::read(path)? != old {
        return Err(PolicyFileError::ChangedOnDisk { path: path.to_owned() });
    }
    let temporary = Temporary(place.with_file_name(temporary_name(&place)));
    write_beside(&temporary.0, &place, new).map_err(unwritable)?;
    fs::rename(&temporary.0, &place).map_err(unwritable)?;
    folder.sync_all().map_err(unwritable)
}

fn write_beside(temporary: &Path, place: &Path, text: &str) -> io::Result<()> {
    let like = fs::metadata(place)?;
    // What a process that died left behind is in nobody's use: the folder is locked.
    let _ = fs::remove_file(temporary);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
    file.write_all(text.as_bytes())?;
    let _ = fchown(&file, Some(like.uid()), Some(like.gid()));
    file.set_permissions(fs::Permissions::from_mode(like.mode() & 0o7777))?;
    file.sync_all()
}

fn temporary_name(place: &Path) -> String {
    let name = place.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    format!(".{name}.new")
}

/// A file that is gone at the end, unless it has got its name.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
