-- What one account may store, and for how many days it keeps what is not used (0: for ever);
-- NULL: as every account.
ALTER TABLE happy_accounts ADD COLUMN bytes_max INTEGER;
ALTER TABLE happy_accounts ADD COLUMN keep_days INTEGER;

CREATE TABLE happy_bounds (
    id            INTEGER PRIMARY KEY CHECK (id = 1),
    -- What every account may store; the settings' word at the start.
    account_bytes INTEGER NOT NULL,
    -- When the wall clock was last believed.
    clock_at      INTEGER
) STRICT;

INSERT INTO happy_bounds (id, account_bytes) VALUES (1, 8589934592);
