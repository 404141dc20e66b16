//! A message of 50 MiB passes in bounded memory. Alone in its process, for it looks at the memory of the whole of it.

mod support;

use sealpost_queue::{BodyWriter, Deferral, EmbeddedSpool, Settings, Settlement, Spool};
use sealpost_types::Octets;
use support::{at, content, message};

#[tokio::test]
async fn fifty_mebibytes_pass_in_bounded_memory() {
    let directory = tempfile::tempdir().unwrap();
    let queue = EmbeddedSpool::open(directory.path(), Settings::default()).unwrap();
    let piece = content(1, 1 << 20);
    let before = peak_octets();

    let mut writer = queue.body_writer(Some(Octets(50 << 20))).unwrap();
    for _ in 0..50 {
        writer.write(&piece).await.unwrap();
    }
    let lease = queue.accept(message(queue.next_id(), at(0), &["a@one.example"]), writer).await.unwrap().remove(0);
    assert_eq!(read(&lease).await, 50 << 20);
    let wait = Settlement::deferred(lease.entry(), &Deferral::new(at(1), "later"));
    queue.settle(lease, wait).await.unwrap();
    let lease = queue.lease_due(at(1), 1, &[]).await.unwrap().remove(0);
    assert_eq!(read(&lease).await, 50 << 20);
    queue.settle(lease, Settlement::finished()).await.unwrap();

    let growth = peak_octets() - before;
    assert!(growth < 8 << 20, "memory grew by {growth} octets");
    // The negative control: held in memory, it would be seen.
    let held = std::hint::black_box(vec![1_u8; 50 << 20]);
    assert!(peak_octets() - before > 8 << 20);
    drop(held);
}

async fn read(lease: &sealpost_queue::Lease) -> usize {
    let mut reader = lease.body().reader();
    let mut size = 0;
    while let Some(piece) = reader.next_piece().await.unwrap() {
        size += piece.len();
    }
    size
}

/// The most memory that this process had so far.
fn peak_octets() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}
