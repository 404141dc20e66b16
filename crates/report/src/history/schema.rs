//! The tables of a history.

use sealpost_store::Migrations;

/// A row of `events` is small: what many share stands once in `decisions` (per decision) and `proofs` (per connection).
///
/// Both are found again by a digest of their content, which need not be unique: whoever looks compares the content.
/// The indices all end in the time (or the row's id, which grows with it), so that the newest ones of anything are a
/// walk along one of them.
pub(super) const MIGRATIONS: Migrations = Migrations::new(APPLICATION_ID, &[FIRST, JUDGED_AGAIN]);

const FIRST: &str = "
CREATE TABLE decisions (
    id INTEGER PRIMARY KEY,
    digest INTEGER NOT NULL,
    level TEXT NOT NULL,
    source TEXT NOT NULL,
    trace TEXT NOT NULL
) STRICT;
CREATE INDEX decisions_by_digest ON decisions (digest);

CREATE TABLE proofs (
    id INTEGER PRIMARY KEY,
    digest INTEGER NOT NULL,
    proof TEXT NOT NULL
) STRICT;
CREATE INDEX proofs_by_digest ON proofs (digest);

CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    hop TEXT NOT NULL,
    result TEXT NOT NULL,
    queue_id TEXT,
    sender TEXT,
    sender_domain TEXT,
    recipient TEXT,
    recipient_domain TEXT,
    size INTEGER,
    next_hop TEXT,
    host TEXT,
    address TEXT,
    attempts INTEGER,
    next_attempt INTEGER,
    reason TEXT,
    reply TEXT,
    decision INTEGER REFERENCES decisions (id),
    proof INTEGER REFERENCES proofs (id)
) STRICT;
CREATE INDEX events_by_time ON events (at);
CREATE INDEX events_by_queue_id ON events (queue_id);
CREATE INDEX events_by_kind ON events (kind, at);
CREATE INDEX events_by_result ON events (result, at);
CREATE INDEX events_by_sender_domain ON events (sender_domain, at);
CREATE INDEX events_by_recipient_domain ON events (recipient_domain, at);
";

/// What a policy in testing would have done, and the facts that a later policy is judged by.
const JUDGED_AGAIN: &str = "
ALTER TABLE events ADD COLUMN received_secure INTEGER;
ALTER TABLE events ADD COLUMN level_header TEXT;
ALTER TABLE events ADD COLUMN shadow TEXT;
";

/// `SpHi`.
const APPLICATION_ID: i32 = 0x5370_4869;
