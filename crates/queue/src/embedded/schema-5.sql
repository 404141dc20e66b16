-- A file in bodies/ may hold many bodies.
ALTER TABLE entry ADD COLUMN file_at INTEGER; -- octets of the file shared-N before the body; null: the file N begins with it
DROP INDEX entry_file;
CREATE INDEX entry_file ON entry (file, file_at, octets) WHERE file IS NOT NULL;
