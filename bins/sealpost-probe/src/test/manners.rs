//! How much one address is asked to bear.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

/// So many connections to an address at a time, and so long between the beginnings of two.
#[derive(Debug)]
pub(crate) struct Manners {
    at_once: usize,
    pause: Duration,
    gates: Mutex<HashMap<IpAddr, Gate>>,
}

/// What is known of one address.
#[derive(Clone, Debug)]
struct Gate {
    free: Arc<Semaphore>,
    /// When the next connection may begin.
    next: Instant,
}

/// The right to one connection, as long as it is kept.
#[derive(Debug)]
pub(crate) struct Turn(#[allow(dead_code, reason = "it is kept for what its end sets free")] Option<OwnedSemaphorePermit>);

impl Manners {
    /// At least one connection at a time.
    pub(crate) fn new(at_once: usize, pause: Duration) -> Self {
        Self { at_once: at_once.max(1), pause, gates: Mutex::default() }
    }

    /// Waits until a connection to this address is no imposition.
    pub(crate) async fn turn(&self, address: IpAddr) -> Turn {
        let free = self.gate(address, |gate| Arc::clone(&gate.free));
        let turn = Turn(free.acquire_owned().await.ok());
        let begin = self.gate(address, |gate| {
            let begin = gate.next.max(Instant::now());
            gate.next = begin + self.pause;
            begin
        });
        sleep_until(begin).await;
        turn
    }

    fn gate<T>(&self, address: IpAddr, look: impl FnOnce(&mut Gate) -> T) -> T {
        // Nothing here is left half-done by a panic, so a poisoned lock is as good as any.
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Gate { free: Arc::new(Semaphore::new(self.at_once)), next: Instant::now() };
        look(gates.entry(address).or_insert_with(new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_address_is_asked_so_often_and_another_does_not_wait_for_it() {
        let manners = Arc::new(Manners::new(2, Duration::from_millis(100)));
        let (busy, other): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let start = Instant::now();
        let first = manners.turn(busy).await;
        let second = manners.turn(busy).await;
        assert_eq!(start.elapsed().as_millis(), 100, "the pause");
        let _other = manners.turn(other).await;
        assert_eq!(start.elapsed().as_millis(), 100, "another address has its own");
        let third = tokio::time::timeout(Duration::from_secs(60), manners.turn(busy)).await;
        assert!(third.is_err(), "no more than two at a time");
        drop(first);
        let _third = manners.turn(busy).await;
        drop(second);
    }
}
