-- When somebody must look at a deferred entry though its destination is left alone: to give it up, or to tell its sender.
ALTER TABLE entry ADD COLUMN latest INTEGER;
UPDATE entry SET latest = expires WHERE state = 1;
CREATE INDEX entry_latest ON entry (latest) WHERE state = 1 AND latest IS NOT NULL;
