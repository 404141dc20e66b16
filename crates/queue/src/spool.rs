//! What every engine of the queue does.

use std::future::Future;

use sealpost_types::{Destination, Octets, UnixMillis};

use crate::{
    AcceptError, BodyWriter, Change, Changed, Disk, Filter, Health, Lease, Listed, NewMessage, OutboxRow, QueueId, Selector, Settlement,
    SpoolError, Stats, Wake,
};

/// A queue of messages that survives the process.
///
/// What it promises: a message accepted is tried until each of its recipients is settled, whatever happens to the
/// process. What was handed out and not settled when the process died is due at once afterwards, so that a recipient may
/// be served twice, but only if the death came between the peer's 250 and the durable settlement.
///
/// All futures can be dropped at any time: what was already handed to the store still happens, and a lease that nobody
/// receives goes back to the queue.
pub trait Spool: Send + Sync + 'static {
    /// Takes a body piece by piece.
    type Writer: BodyWriter;

    /// A new id: above all that were ever given.
    fn next_id(&self) -> QueueId;

    /// Begins a body of about `size_hint` octets. A writer that is dropped leaves nothing.
    ///
    /// # Errors
    /// [`SpoolError::Full`], [`SpoolError::Poisoned`], [`SpoolError::Closed`]: no message would be accepted now.
    fn body_writer(&self, size_hint: Option<Octets>) -> Result<Self::Writer, SpoolError>;

    /// Stores the message; when this returns it is durable. Each group that is not deferred comes back as a [`Lease`], in order.
    ///
    /// # Errors
    /// Nothing is stored then: [`AcceptError::Full`], [`AcceptError::Poisoned`], [`AcceptError::Closed`] concern every
    /// message; [`AcceptError::NoRecipients`], [`AcceptError::Duplicate`], [`AcceptError::Body`],
    /// [`AcceptError::Store`] this one.
    fn accept(&self, message: NewMessage, body: Self::Writer) -> impl Future<Output = Result<Vec<Lease>, AcceptError>> + Send;

    /// Leases of up to `limit` deferred entries that are due at `now`, those longest due first, and then those that were woken
    /// ([`Spool::retry_now`]), destination by destination; none for a destination
    /// in `skip`, such as one that has as much as it takes or does not answer, so that it keeps nothing from others, but those
    /// that somebody must look at ([`Settlement::latest`]): up to half of `limit` of them come first, and more where nothing else is due.
    ///
    /// Where very many entries are skipped it may take several calls until all others have come.
    ///
    /// Entries that turn out damaged are set aside instead.
    ///
    /// # Errors
    /// [`SpoolError::Poisoned`], [`SpoolError::Closed`]: what comes of an attempt could not be recorded, so none may begin;
    /// other [`SpoolError`]s: the queue cannot be read.
    fn lease_due(&self, now: UnixMillis, limit: usize, skip: &[Destination])
    -> impl Future<Output = Result<Vec<Lease>, SpoolError>> + Send;

    /// When the next deferred entry that nobody holds is due; none if there is none.
    ///
    /// # Errors
    /// [`SpoolError`]: the queue cannot be read.
    fn next_due(&self) -> impl Future<Output = Result<Option<UnixMillis>, SpoolError>> + Send;

    /// The first moment behind this one at which a deferred entry is due by its own time, or must be looked at; none if there is none.
    ///
    /// # Errors
    /// [`SpoolError`]: the queue cannot be read.
    fn due_after(&self, moment: UnixMillis) -> impl Future<Output = Result<Option<UnixMillis>, SpoolError>> + Send;

    /// Records what became of a lease; when this returns it is durable.
    ///
    /// # Errors
    /// [`SpoolError::UnknownRecipient`], [`SpoolError::ForeignLease`]: the settlement is wrong, and the lease counts as
    /// dropped.
    ///
    /// [`SpoolError::Full`]: not recorded yet. The entry stays leased, and later calls of [`Spool::lease_due`] try again
    /// until there is space. [`SpoolError::Store`]: likewise, but what was refused [`RECORD_TRIES`](crate::RECORD_TRIES)
    /// times for what it is counts as dropped then, and who was served may be served again.
    ///
    /// [`SpoolError::Poisoned`], [`SpoolError::Closed`]: not recorded. Only the next process tries the entry again.
    fn settle(&self, lease: Lease, settlement: Settlement) -> impl Future<Output = Result<(), SpoolError>> + Send;

    /// Hands over what became of a lease to be recorded with other work, within some 20 ms: for outcomes that nobody
    /// needs to wait for. If the process dies before, the entry is tried again.
    ///
    /// # Errors
    /// As [`Spool::settle`] for a settlement that is wrong. What fails later is logged, and what becomes of it is the same.
    fn settle_soon(&self, lease: Lease, settlement: Settlement) -> Result<(), SpoolError>;

    /// Sets the entry aside as damaged: for a lease whose body turned out so while it was read.
    ///
    /// # Errors
    /// [`SpoolError::ForeignLease`]: the lease counts as dropped. [`SpoolError::Full`], [`SpoolError::Store`]: not recorded
    /// yet; the entry stays leased, and later calls of [`Spool::lease_due`] try again. [`SpoolError::Poisoned`],
    /// [`SpoolError::Closed`]: not recorded; only the next process tries the entry again.
    fn set_aside(&self, lease: Lease, reason: &str) -> impl Future<Output = Result<(), SpoolError>> + Send;

    /// Makes deferred entries due at `now`; how many were not. However many wait for one destination, this takes one write for it, and one in
    /// all for [`Selector::All`]: their rows stay as they are until they are tried.
    ///
    /// # Errors
    /// [`SpoolError`]: it could not be written; some may be due already.
    fn retry_now(&self, selector: Selector, now: UnixMillis) -> impl Future<Output = Result<u64, SpoolError>> + Send;

    /// Changes entries in one durable step, but those that somebody holds a lease of; what came of each, in order.
    ///
    /// # Errors
    /// [`SpoolError`]: it could not be written, and all entries are as before.
    fn change(&self, changes: Vec<(QueueId, Change)>) -> impl Future<Output = Result<Vec<Changed>, SpoolError>> + Send;

    /// Tells when entries may have become due.
    fn wake(&self) -> Wake;

    /// The queue in numbers.
    ///
    /// # Errors
    /// [`SpoolError`]: the queue cannot be read.
    fn stats(&self) -> impl Future<Output = Result<Stats, SpoolError>> + Send;

    /// How many deferred entries are due at `now`, those being tried included.
    ///
    /// # Errors
    /// [`SpoolError`]: the queue cannot be read.
    fn due(&self, now: UnixMillis) -> impl Future<Output = Result<u64, SpoolError>> + Send;

    /// Up to `limit` entries that match, oldest first.
    ///
    /// # Errors
    /// [`SpoolError`]: the queue cannot be read.
    fn list(&self, filter: Filter, limit: usize) -> impl Future<Output = Result<Vec<Listed>, SpoolError>> + Send;

    /// One entry.
    ///
    /// # Errors
    /// [`SpoolError`]: the queue cannot be read.
    fn show(&self, id: QueueId) -> impl Future<Output = Result<Option<Listed>, SpoolError>> + Send;

    /// Up to `limit` rows that settlements recorded, oldest first. They stay until [`Spool::outbox_done`].
    ///
    /// # Errors
    /// [`SpoolError`]: the queue cannot be read.
    fn outbox(&self, limit: usize) -> impl Future<Output = Result<Vec<OutboxRow>, SpoolError>> + Send;

    /// Removes the rows up to this place: whoever reads them has them.
    ///
    /// # Errors
    /// [`SpoolError`]: it could not be written.
    fn outbox_done(&self, place: u64) -> impl Future<Output = Result<(), SpoolError>> + Send;

    /// How often the holds of deferred mail were released so far: a [`Hold`](crate::Hold) with another count binds no more.
    fn releases(&self) -> u64;

    /// Releases every [`Hold`](crate::Hold) that there is, those of entries that somebody holds a lease of included; when this
    /// returns it is durable. No row is touched, however many there are.
    ///
    /// # Errors
    /// [`SpoolError`]: it could not be written, and every hold binds as before.
    fn release_holds(&self) -> impl Future<Output = Result<(), SpoolError>> + Send;

    /// Whether it takes mail.
    fn health(&self) -> Health;

    /// What lies under it; nothing for a queue that is on no disk.
    fn disk(&self) -> Option<Disk>;

    /// Writes what waits and closes. Later calls find it closed; leases that are still out are void.
    ///
    /// # Errors
    /// [`SpoolError::Poisoned`] if a write had failed; it is closed all the same.
    fn close(&self) -> impl Future<Output = Result<(), SpoolError>> + Send;
}
