//! The trust anchors of the operating system.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs, io, thread};

use rustls_native_certs::CertificateResult;
use sealpost_cert::TrustAnchors;

/// What the system's certificate store gave.
#[derive(Debug)]
#[non_exhaustive]
pub struct SystemAnchors {
    /// The anchors that could be read.
    pub anchors: TrustAnchors,
    /// Files and certificates of the store that could not be read, in words; the rest was taken all the same.
    pub problems: Vec<String>,
}

/// The trust anchors that the operating system keeps (on Debian `/etc/ssl/certs`; `SSL_CERT_FILE` and `SSL_CERT_DIR` lead elsewhere).
///
/// Reads files: call it at start and at reload, not per connection.
/// A store that is broken in part gives what it has; none at all gives no anchor, so that no chain is trusted. What was
/// wrong is in [`SystemAnchors::problems`].
#[must_use]
pub fn system_anchors() -> SystemAnchors {
    let (file, directories) = places();
    let (files, mut problems) = files_of(file, &directories);
    let found = load(&files);
    problems.extend(found.iter().flat_map(|found| &found.errors).map(ToString::to_string));
    // Those of a bundle are there as files of their own too.
    let certificates: BTreeSet<&[u8]> = found.iter().flat_map(|found| &found.certs).map(AsRef::as_ref).collect();
    collect(certificates.into_iter(), problems)
}

/// The bundle and the directories of the store: those of the environment, and without any those where systems have them.
fn places() -> (Option<PathBuf>, Vec<PathBuf>) {
    let file = env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let directories = env::var_os("SSL_CERT_DIR").unwrap_or_default();
    let directories: Vec<PathBuf> = env::split_paths(&directories).filter(|path| !path.as_os_str().is_empty()).collect();
    if file.is_some() || !directories.is_empty() {
        return (file, directories);
    }
    let places = openssl_probe::probe();
    (places.cert_file, places.cert_dir)
}

/// Each file once, by whatever names it is found; and the directories that cannot be read, in words.
fn files_of(bundle: Option<PathBuf>, directories: &[PathBuf]) -> (Vec<PathBuf>, Vec<String>) {
    let (mut names, mut problems) = (Vec::new(), Vec::new());
    for directory in directories {
        if let Err(error) = list(directory, &mut names) {
            problems.push(format!("cannot read the directory {}: {error}", directory.display()));
        }
    }
    let found = in_parallel(&names, |name| match fs::metadata(name) {
        Ok(file) => file.is_file().then(|| (identity(&file), name)),
        // A link to nowhere is left from what is no longer trusted.
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        // Reading it says what is wrong.
        Err(_) => Some((None, name)),
    });
    // The bundle has to be there, if it was asked for by its name.
    let bundle = bundle.iter().map(|path| (fs::metadata(path).ok().as_ref().and_then(identity), path));
    let mut known = BTreeSet::new();
    let files = bundle.chain(found.into_iter().flatten()).filter(|(file, _)| file.is_none_or(|file| known.insert(file)));
    (files.map(|(_, name)| name.clone()).collect(), problems)
}

/// Adds the paths of what is in a directory; those that came before an error stay.
fn list(directory: &Path, names: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        names.push(entry?.path());
    }
    Ok(())
}

/// What is the same for all names of a file, where the system has such a thing.
#[cfg(unix)]
fn identity(file: &fs::Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;

    Some((file.dev(), file.ino()))
}

#[cfg(not(unix))]
fn identity(_: &fs::Metadata) -> Option<(u64, u64)> {
    None
}

fn load(files: &[PathBuf]) -> Vec<CertificateResult> {
    in_parallel(files, |file| rustls_native_certs::load_certs_from_paths(Some(file.as_path()), None))
}

/// A store of hundreds of small files that lie in no cache: each is one wait for the disk, and the relay's start waits for them all.
fn in_parallel<'a, T: Sync, R: Send>(items: &'a [T], work: impl Fn(&'a T) -> R + Sync) -> Vec<R> {
    let work = &work;
    let share = items.len().div_ceil(READERS).max(1);
    thread::scope(|scope| {
        let readers: Vec<_> = items.chunks(share).map(|items| scope.spawn(move || items.iter().map(work).collect::<Vec<R>>())).collect();
        readers.into_iter().filter_map(|reader| reader.join().ok()).flatten().collect()
    })
}

fn collect<'a>(certificates: impl Iterator<Item = &'a [u8]>, mut problems: Vec<String>) -> SystemAnchors {
    let anchors = TrustAnchors::from_der(certificates);
    problems.extend(anchors.problems().iter().map(ToString::to_string));
    SystemAnchors { anchors, problems }
}

/// Threads that read the store.
const READERS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_with_several_names_is_read_once_and_nothing_is_missed() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let pem = |name: &str| rcgen::generate_simple_self_signed([name.to_owned()]).unwrap().cert.pem();
        for number in 0..40 {
            fs::write(at(&format!("{number}.pem")), pem(&format!("ca{number}.example"))).unwrap();
            std::os::unix::fs::symlink(at(&format!("{number}.pem")), at(&format!("hash{number}.0"))).unwrap();
        }
        fs::write(at("bundle.crt"), pem("a.example") + &pem("b.example")).unwrap();
        std::os::unix::fs::symlink(at("nowhere"), at("dangling.0")).unwrap();
        fs::create_dir(at("java")).unwrap();
        let (files, problems) = files_of(Some(at("bundle.crt")), &[directory.path().to_owned()]);
        assert_eq!((files.len(), problems), (41, vec![]));
        let found = load(&files);
        assert_eq!(found.iter().map(|found| found.certs.len()).sum::<usize>(), 42);
        assert!(found.iter().all(|found| found.errors.is_empty()));
    }

    #[test]
    fn a_place_that_is_named_and_not_there_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let (bundle, nowhere) = (directory.path().join("bundle.crt"), directory.path().join("nowhere"));
        let (files, problems) = files_of(Some(bundle.clone()), &[nowhere, directory.path().to_owned()]);
        assert!(problems.len() == 1 && problems[0].contains("/nowhere: No such file"), "{problems:?}");
        assert_eq!(files, [bundle]);
        let found = load(&files);
        assert!(found.len() == 1 && found[0].errors[0].to_string().contains("/bundle.crt"), "{found:?}");
    }

    #[test]
    fn what_the_library_finds_is_found() {
        let (found, expected) = (system_anchors(), rustls_native_certs::load_native_certs());
        let expected = collect(expected.certs.iter().map(AsRef::as_ref), vec![]);
        assert_eq!(found.anchors.len(), expected.anchors.len());
    }

    #[test]
    fn a_store_broken_in_part_gives_the_rest() {
        let ca = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).unwrap();
        let found = collect([ca.cert.der().as_ref(), b"broken"].into_iter(), vec![]);
        assert_eq!((found.anchors.len(), found.problems.len()), (1, 1));
    }

    #[test]
    fn an_empty_store_gives_nothing_and_a_broken_one_says_why() {
        let empty = collect([].into_iter(), vec![]);
        assert!(empty.anchors.is_empty() && empty.problems.is_empty());
        let unreadable = collect([b"broken".as_slice()].into_iter(), vec!["/etc/ssl: no".to_owned()]);
        assert!(unreadable.anchors.is_empty());
        assert!(unreadable.problems.len() == 2 && unreadable.problems[0].contains("/etc/ssl"), "{unreadable:?}");
    }
}
