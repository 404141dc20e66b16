//! The tables of a history.

use sealpost_store::Migrations;

/// The file of one day.
///
/// A row of `events` is small: what many share stands once, in `codes`, `domains`, `decisions` (per decision) and `proofs`
/// (per connection). Decisions and proofs are found again by a digest of their content, which need not be unique: whoever
/// looks compares the content. An entry has a checksum over what it says and refers to, so that a bit which fell over is found. The
/// number of an event grows with its time, so that the newest ones of anything are a walk along an index. `moments` says in which
/// stretches of numbers ([`Day::moment_of`](super::day::Day::moment_of)) entries with a code are, and those from or to a domain;
/// its domain 0 is any. When there is much mail, many entries share a row of it. What is written as REFERENCES is not enforced:
/// see `Book::run`.
pub(super) const DAY: Migrations = Migrations::new(DAY_ID, &[FIRST_OF_DAY, MOMENTS]);

/// The one file of all days, which earlier versions wrote. It is read on until it is older than what is kept.
pub(super) const SINGLE: Migrations = Migrations::new(SINGLE_ID, &[FIRST, JUDGED_AGAIN]);

const FIRST_OF_DAY: &str = "
CREATE TABLE codes (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    hop TEXT NOT NULL,
    result TEXT NOT NULL,
    UNIQUE (kind, hop, result)
) STRICT;

CREATE TABLE domains (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

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
    code INTEGER NOT NULL REFERENCES codes (id),
    queue_id TEXT,
    sender TEXT,
    sender_domain INTEGER REFERENCES domains (id),
    recipient TEXT,
    recipient_domain INTEGER REFERENCES domains (id),
    received_secure INTEGER,
    level_header TEXT,
    size INTEGER,
    next_hop TEXT,
    host TEXT,
    address TEXT,
    attempts INTEGER,
    next_attempt INTEGER,
    reason TEXT,
    reply TEXT,
    decision INTEGER REFERENCES decisions (id),
    proof INTEGER REFERENCES proofs (id),
    shadow TEXT,
    more INTEGER,
    checksum INTEGER
) STRICT;
CREATE INDEX events_by_code ON events (code);
CREATE INDEX events_by_queue_id ON events (queue_id);

CREATE TABLE domain_events (
    domain INTEGER NOT NULL REFERENCES domains (id),
    code INTEGER NOT NULL REFERENCES codes (id),
    event INTEGER NOT NULL REFERENCES events (id),
    PRIMARY KEY (domain, code, event)
) STRICT, WITHOUT ROWID;
";

/// In place of a row for each entry and domain, and of an index over codes: three rows of indices an entry.
///
/// 22 is `day::MOMENT_BITS`, written out because what was once run never changes.
const MOMENTS: &str = "
CREATE TABLE moments (
    domain INTEGER NOT NULL,
    code INTEGER NOT NULL REFERENCES codes (id),
    moment INTEGER NOT NULL,
    PRIMARY KEY (domain, code, moment)
) STRICT, WITHOUT ROWID;
INSERT OR IGNORE INTO moments (domain, code, moment) SELECT 0, code, id >> 22 FROM events INDEXED BY events_by_code ORDER BY code, id;
INSERT OR IGNORE INTO moments (domain, code, moment) SELECT domain, code, event >> 22 FROM domain_events ORDER BY domain, code, event;
DROP TABLE domain_events;
DROP INDEX events_by_code;
";

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

/// Stands in `moments` for any domain.
pub(super) const ANY_DOMAIN: i64 = 0;

/// `SpHd`.
const DAY_ID: i32 = 0x5370_4864;

/// `SpHi`.
const SINGLE_ID: i32 = 0x5370_4869;
