-- The device that a pairing let in: one, however often its answer is asked for.
ALTER TABLE happy_pairings ADD COLUMN device_id TEXT;
ALTER TABLE happy_pairings ADD COLUMN fetched_at INTEGER;
