-- Entries may be held: state 3 is not tried before somebody lets it go.
CREATE INDEX entry_held ON entry (octets) WHERE state = 3;
