//! A disk that is really full: a file system of a few mebibytes, where also making room for a file fails.

mod support;

use std::path::Path;
use std::time::Duration;

use sealpost_queue::{AcceptError, BodyWriteError, BodyWriter, Deferral, EmbeddedSpool, Filter, Health, Lease, Settlement, Spool};
use sealpost_types::Octets;

use support::{at, content, eventually, message, settings};

mod with_unshare {
    use std::process::Command;

    use super::{DIRECTORY, SIZE};

    /// What was accepted is there, what was refused is not, and when there is room again it goes on.
    #[test]
    #[ignore = "needs unshare and root, to mount a file system for itself"]
    fn bodies_of_every_size_meet_a_full_disk() {
        for size in [20_000, 70_000, 250_000, 400_000] {
            let directory = tempfile::tempdir().unwrap();
            let mounted = "mount -t tmpfs -o size=12m tmpfs \"$SMALL_DISK\" && exec \"$0\" --exact child --ignored --nocapture";
            let output = Command::new("unshare")
                .args(["--mount", "sh", "-c", mounted])
                .arg(std::env::current_exe().unwrap())
                .env(DIRECTORY, directory.path())
                .env(SIZE, size.to_string())
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && said.contains("1 passed"), "{size}: {said}\n{}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

#[tokio::test]
#[ignore = "run by the other test of this file"]
async fn child() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let (directory, size) = (Path::new(&directory), std::env::var(SIZE).unwrap().parse().unwrap());
    let free = || {
        let space = rustix::fs::statvfs(directory).unwrap();
        assert!(space.f_blocks * space.f_frsize <= 12 << 20, "another file system");
        space.f_bavail * space.f_frsize
    };
    free();
    let queue = open(&directory.join("queue"));
    let mut waiting = Vec::new();
    assert!(free() > 8 << 20);
    for round in 0..3_i64 {
        let mut refused = 0;
        // Long enough for two looks at the disk.
        while refused < 25 {
            match accept(&queue, size).await {
                Ok(leases) => {
                    refused = 0;
                    waiting.extend(leases);
                }
                Err(AcceptError::Full | AcceptError::Body(BodyWriteError::Full)) => {
                    refused += 1;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(error) => panic!("round {round}: {error}"),
            }
        }
        assert!(!matches!(queue.health(), Health::Poisoned { .. }), "full for a while is no fault");
        assert!(waiting.len() * size > 2 << 20 && free() < 3 << 20, "round {round}: {} are there, {} is free", waiting.len(), free());
        // Half of them go, as soon as that can be recorded, and there is room for others.
        let rest = waiting.split_off(waiting.len() / 2);
        for lease in std::mem::replace(&mut waiting, rest) {
            let _ = queue.settle(lease, Settlement::finished()).await;
        }
        let mut now = round * 1_000_000;
        while queue.stats().await.unwrap().fresh != waiting.len() as u64 {
            now += 2_000;
            assert!(now < (round + 1) * 1_000_000, "round {round}: what became of mail cannot be recorded");
            assert!(queue.lease_due(at(now), 1, &[]).await.unwrap().is_empty());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    let expected = waiting.len();
    for lease in waiting {
        let wait = Settlement::deferred(lease.entry(), &Deferral::new(at(5), "451 later"));
        queue.settle(lease, wait).await.unwrap();
    }
    queue.close().await.unwrap();
    let queue = open(&directory.join("queue"));
    assert_eq!(queue.list(Filter::all(), 10_000).await.unwrap().len(), expected);
    let mut read = 0;
    while let Some(lease) = queue.lease_due(at(5), 1, &[]).await.unwrap().pop() {
        assert!(lease.body().to_vec().await.unwrap() == content(lease.id().number().unsigned_abs(), size));
        queue.settle(lease, Settlement::finished()).await.unwrap();
        read += 1;
    }
    assert_eq!(read, expected);
    // All of it is gone: there is room again, though the space of bodies is kept to be used again while there is enough.
    eventually(|| async { accept(&queue, size).await.is_ok() }).await;
    queue.close().await.unwrap();
}

async fn accept(queue: &EmbeddedSpool, size: usize) -> Result<Vec<Lease>, AcceptError> {
    let id = queue.next_id();
    let Ok(mut body) = queue.body_writer(None) else { return Err(AcceptError::Full) };
    for piece in content(id.number().unsigned_abs(), size).chunks(7_001) {
        body.write(piece).await?;
    }
    queue.accept(message(id, at(0), &["a@one.example"]), body).await
}

fn open(directory: &Path) -> EmbeddedSpool {
    let mut settings = settings();
    settings.reserve = Octets(1 << 20);
    settings.store.checkpoint = Octets(256 << 10);
    EmbeddedSpool::open(directory, settings).unwrap()
}

const DIRECTORY: &str = "SMALL_DISK";
const SIZE: &str = "SMALL_DISK_BODY";
