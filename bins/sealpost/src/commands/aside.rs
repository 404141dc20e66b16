//! What lies in the data directory because something was found damaged.

use std::path::{Path, PathBuf};

/// A line for each such file below `data_dir`: databases that wait to be salvaged or were, logs and bodies that were kept.
pub(super) fn kept_aside(data_dir: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for directory in std::iter::once(data_dir.to_owned()).chain(below(data_dir).into_iter().filter(|path| path.is_dir())) {
        lines.extend(below(&directory).iter().filter_map(|path| line(path)));
        let unclaimed = below(&directory.join("bodies")).iter().filter(|path| name(path).ends_with(".unclaimed")).count();
        if unclaimed > 0 {
            let directory = directory.join("bodies");
            lines.push(format!("{}: {unclaimed} files *.unclaimed with raw messages that no row of the queue names", directory.display()));
        }
    }
    lines
}

fn line(path: &Path) -> Option<String> {
    let name = name(path);
    let (shown, is_log) = (path.display(), name.ends_with("-wal") || name.ends_with("-shm"));
    if let Some(database) = name.strip_suffix(".salvage") {
        let reason = std::fs::read_to_string(path).unwrap_or_default();
        return Some(format!("{shown}: {database} is damaged ({}); the next start salvages what can be read of it", reason.trim()));
    }
    if name.contains(".damaged-") && !is_log {
        return Some(format!("{shown}: was damaged; what can be read of it is in a fresh file. Remove it when you have looked at it"));
    }
    let is_old_log = name.contains("-wal.aside-");
    is_old_log.then(|| format!("{shown}: a log that was broken before its end. Remove it when you have looked at it"))
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// What is in a directory, by name; nothing if it is none.
fn below(directory: &Path) -> Vec<PathBuf> {
    let found = std::fs::read_dir(directory).into_iter().flatten().filter_map(|found| Some(found.ok()?.path()));
    let mut found: Vec<_> = found.collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_aside_is_named() {
        let data_dir = tempfile::tempdir().unwrap();
        let directory = |name: &str| std::fs::create_dir_all(data_dir.path().join(name)).unwrap();
        let file = |name: &str| std::fs::write(data_dir.path().join(name), "it is broken\n").unwrap();
        directory("queue/bodies");
        directory("history");
        for sound in ["queue/queue.db", "queue/queue.db-wal", "queue/queue.db.lock", "queue/bodies/7", "history/2025-11-22.db"] {
            file(sound);
        }
        assert_eq!(kept_aside(data_dir.path()), Vec::<String>::new());
        assert_eq!(kept_aside(&data_dir.path().join("none")), Vec::<String>::new());
        for kept in ["queue/queue.db.damaged-1", "queue/queue.db.damaged-1-wal", "queue/queue.db-wal.aside-2", "queue/bodies/7.unclaimed"] {
            file(kept);
        }
        file("queue/bodies/shared-0.unclaimed");
        file("history/2025-11-22.db.salvage");
        let lines = kept_aside(data_dir.path());
        let begins: Vec<_> = lines.iter().map(|line| line.strip_prefix(&format!("{}/", data_dir.path().display())).unwrap()).collect();
        assert!(begins[0].starts_with("history/2025-11-22.db.salvage: 2025-11-22.db is damaged (it is broken)"), "{begins:#?}");
        assert!(
            begins[1].starts_with("queue/queue.db-wal.aside-2: ") && begins[2].starts_with("queue/queue.db.damaged-1: "),
            "{begins:#?}"
        );
        assert!(begins[3].starts_with("queue/bodies: 2 files") && begins.len() == 4, "{begins:#?}");
    }
}
