-- Mail is woken without its rows being written: what began to wait before the last wake of its destination, or of all, is due.
CREATE TABLE woken (
    destination TEXT    PRIMARY KEY,  -- empty for all
    wakes       INTEGER NOT NULL,     -- the number of the last wake
    at          INTEGER NOT NULL      -- when that was
) STRICT, WITHOUT ROWID;

-- The number of the last wake that an entry saw when it began to wait.
ALTER TABLE entry ADD COLUMN wakes INTEGER NOT NULL DEFAULT 0;
DROP INDEX entry_destination;
CREATE INDEX entry_destination ON entry (destination, wakes, due, octets) WHERE state = 1;
