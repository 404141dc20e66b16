//! Suites in an order, and what the terms of a string do to it.

use std::sync::LazyLock;

use crate::suite::{Authentication as Au, Encryption as Enc, KeyExchange as Kx, Mac, Since, Suite};
use crate::table::SUITES;
use crate::term::Action;
use crate::word::is_aes;

/// All suites that were not taken away for good. Those that are not chosen have a place too: it is theirs when they are added.
#[derive(Clone, Debug)]
pub(crate) struct Order(Vec<Entry>);

#[derive(Clone, Copy, Debug)]
struct Entry {
    suite: &'static Suite,
    chosen: bool,
}

impl Order {
    /// Nothing chosen, everything in the order that OpenSSL prefers.
    pub(crate) fn new() -> Self {
        PREFERENCE.clone()
    }

    /// What is chosen.
    pub(crate) fn chosen(&self) -> Vec<&'static Suite> {
        self.0.iter().filter(|entry| entry.chosen).map(|entry| entry.suite).collect()
    }

    pub(crate) fn apply(&mut self, action: Action, fits: impl Fn(&Suite) -> bool) {
        match action {
            Action::Add => self.add(fits),
            Action::MoveToEnd => self.move_to_end(|entry| entry.chosen && fits(entry.suite)),
            Action::Remove => {
                // What was taken away last comes back first.
                self.move_to_front(|entry| entry.chosen && fits(entry.suite));
                self.0.iter_mut().filter(|entry| fits(entry.suite)).for_each(|entry| entry.chosen = false);
            }
            Action::Kill => self.0.retain(|entry| !fits(entry.suite)),
        }
    }

    /// The more bits, the earlier; what has as many keeps its order.
    pub(crate) fn sort_by_strength(&mut self) {
        let (mut chosen, rest): (Vec<_>, Vec<_>) = self.0.iter().copied().partition(|entry| entry.chosen);
        chosen.sort_by_key(|entry| std::cmp::Reverse(entry.suite.bits()));
        self.0 = rest.into_iter().chain(chosen).collect();
    }

    fn add(&mut self, fits: impl Fn(&Suite) -> bool) {
        let is_new = |entry: &Entry| !entry.chosen && fits(entry.suite);
        let (new, rest): (Vec<_>, Vec<_>) = self.0.iter().copied().partition(is_new);
        let new = new.into_iter().map(|entry| Entry { chosen: true, ..entry });
        self.0 = rest.into_iter().chain(new).collect();
    }

    fn move_to_end(&mut self, is_meant: impl Fn(&Entry) -> bool) {
        self.0.sort_by_key(is_meant);
    }

    fn move_to_front(&mut self, is_meant: impl Fn(&Entry) -> bool) {
        self.0.sort_by_key(|entry| !is_meant(entry));
    }
}

/// OpenSSL's own preference: a fresh key exchange with authenticated encryption before a fresh key exchange, before authenticated
/// encryption, before the rest; in each of these what came with TLS 1.2 and has the longer key first.
static PREFERENCE: LazyLock<Order> = LazyLock::new(|| {
    let is_fresh = |suite: &Suite| matches!(suite.kx, Kx::Dhe | Kx::Ecdhe);
    let is_aead = |suite: &Suite| suite.mac == Mac::Aead;
    let mut order = Order(SUITES.iter().rev().map(|suite| Entry { suite, chosen: false }).collect());
    // From here on each step keeps the order of the one before among what it treats alike.
    order.add(|suite| suite.kx == Kx::Ecdhe && suite.auth == Au::Ecdsa);
    order.add(|suite| suite.kx == Kx::Ecdhe);
    order.apply(Action::Remove, |suite| suite.kx == Kx::Ecdhe);
    order.add(|suite| matches!(suite.enc, Enc::Aes128Gcm | Enc::Aes256Gcm));
    order.add(|suite| suite.enc == Enc::ChaCha20);
    order.add(is_aes);
    order.add(|_| true);
    order.move_to_end(|entry| entry.suite.mac == Mac::Md5);
    order.move_to_end(|entry| entry.suite.auth == Au::Null);
    order.move_to_end(|entry| entry.suite.kx == Kx::Rsa);
    order.move_to_end(|entry| entry.suite.kx == Kx::Psk);
    order.move_to_end(|entry| entry.suite.enc == Enc::Rc4);
    order.sort_by_strength();
    order.move_to_front(|entry| entry.suite.since == Since::Tls1_2);
    order.move_to_front(|entry| is_aead(entry.suite));
    order.move_to_front(|entry| is_fresh(entry.suite));
    order.move_to_front(|entry| is_fresh(entry.suite) && is_aead(entry.suite));
    order.apply(Action::Remove, |_| true);
    order
});
