-- The number of the newest update that an account was told.
ALTER TABLE happy_accounts ADD COLUMN seq INTEGER NOT NULL DEFAULT 0;
