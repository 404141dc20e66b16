-- The queue of Sealpost. Times are milliseconds since 1970; ids are those of the queue's texts as numbers.

-- One row per message and destination. On the way of a message that is delivered at once it is inserted and deleted,
-- nothing else: the indexes cover what is fresh, deferred or damaged, and the two that fresh rows are in stay tiny.
CREATE TABLE entry (
    id               INTEGER PRIMARY KEY,
    message          INTEGER,           -- the message's id where it went to several destinations; else null
    state            INTEGER NOT NULL,  -- 0 fresh (first attempt under way), 1 deferred, 2 damaged, 3 held
    destination      TEXT    NOT NULL,
    created          INTEGER NOT NULL,
    expires          INTEGER NOT NULL,
    due              INTEGER,           -- of deferred ones
    attempts         INTEGER NOT NULL,
    reason           TEXT,              -- why it waits, or how it is damaged
    octets           INTEGER NOT NULL,  -- of the body
    body_check       INTEGER NOT NULL,  -- CRC-32 of the body
    envelope_check   INTEGER NOT NULL,  -- CRC-32 of all that never changes
    recipients_check INTEGER NOT NULL,  -- CRC-32 of id, attempts and recipients
    file             INTEGER,           -- the file in bodies/ that begins with the body
    envelope         TEXT    NOT NULL,  -- JSON
    recipients       TEXT    NOT NULL,  -- JSON, those still to be served
    body             BLOB               -- null if it is in a file or shared
) STRICT;

CREATE INDEX entry_fresh ON entry (octets) WHERE state = 0;
CREATE INDEX entry_due ON entry (due) WHERE state = 1;
CREATE INDEX entry_destination ON entry (destination, due, octets) WHERE state = 1;
CREATE INDEX entry_damaged ON entry (state) WHERE state = 2;
CREATE INDEX entry_message ON entry (message) WHERE message IS NOT NULL;
CREATE INDEX entry_file ON entry (file) WHERE file IS NOT NULL;

-- The body of a message that went to several destinations, removed with its last entry.
CREATE TABLE body (
    id   INTEGER PRIMARY KEY,           -- the message's id
    uses INTEGER NOT NULL,
    data BLOB                           -- null if it is in a file
) STRICT;

-- Rows for whoever keeps the history, recorded together with what they tell of.
CREATE TABLE outbox (
    place INTEGER PRIMARY KEY,
    data  BLOB NOT NULL
) STRICT;

-- Ids below this number may have been given.
CREATE TABLE reserved (
    id INTEGER NOT NULL
) STRICT;
INSERT INTO reserved VALUES (0);
