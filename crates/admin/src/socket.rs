//! A unix socket that is there for as long as somebody answers on it.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use crate::error::AdminError;

/// The name of a socket; it is removed with this, unless somebody else has taken it meanwhile.
#[derive(Debug)]
pub(crate) struct SocketName {
    path: PathBuf,
    inode: (u64, u64),
}

/// Makes the socket, for its owner and its group alone. One that a process which died left behind is replaced. Blocks.
pub(crate) fn bind(path: &Path) -> Result<(UnixListener, SocketName), AdminError> {
    let failed = |source| AdminError::Socket { path: path.to_owned(), source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    // Two that start at the same moment do not both find the old one dead.
    let lock = File::open(folder).map_err(failed)?;
    lock.lock().map_err(failed)?;
    check_free(path)?;
    let private = Private::make(folder).map_err(failed)?;
    let listener = UnixListener::bind(private.socket()).map_err(failed)?;
    // It gets its name when nobody else can open it any more.
    fs::set_permissions(private.socket(), Permissions::from_mode(MODE)).map_err(failed)?;
    fs::rename(private.socket(), path).map_err(failed)?;
    let inode = inode(path).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok((listener, SocketName { path: path.to_owned(), inode }))
}

fn check_free(path: &Path) -> Result<(), AdminError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(AdminError::Socket { path: path.to_owned(), source }),
        Ok(found) if !found.file_type().is_socket() => Err(AdminError::NoSocket { path: path.to_owned() }),
        Ok(_) => match UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            Err(source) => Err(AdminError::Socket { path: path.to_owned(), source }),
            Ok(_) => Err(AdminError::InUse { path: path.to_owned() }),
        },
    }
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

impl Drop for SocketName {
    fn drop(&mut self) {
        if inode(&self.path).is_ok_and(|inode| inode == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A folder that nobody else may enter. Its name and that of the socket in it are short, for a socket's path is.
struct Private(PathBuf);

impl Private {
    fn make(folder: &Path) -> io::Result<Self> {
        let path = folder.join(format!(".{:x}", std::process::id()));
        // Of a process of this number that died: nobody else makes one in a folder that is locked.
        let _ = fs::remove_dir_all(&path);
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    fn socket(&self) -> PathBuf {
        self.0.join("s")
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Owner and group.
const MODE: u32 = 0o660;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_a_dead_process_is_replaced_and_one_of_a_living_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        drop(UnixListener::bind(&path).unwrap());
        let (listener, name) = bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert!(matches!(bind(&path), Err(AdminError::InUse { .. })));
        assert!(UnixStream::connect(&path).is_ok(), "the living one still answers");
        drop((listener, name));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left");
    }

    #[test]
    fn what_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mail.db");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(bind(&path), Err(AdminError::NoSocket { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn the_name_of_a_successor_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let (listener, name) = bind(&path).unwrap();
        drop(listener);
        let _successor = bind(&path).unwrap();
        drop(name);
        assert!(UnixStream::connect(&path).is_ok());
    }
}
