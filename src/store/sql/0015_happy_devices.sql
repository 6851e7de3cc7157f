-- Who was let in: each token that was given out holds while its row is here.
CREATE TABLE happy_devices (
    -- The token's `jti`.
    id         TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES happy_accounts (id) ON DELETE CASCADE,
    kind       TEXT NOT NULL CHECK (kind IN ('phone', 'terminal', 'linked')),
    -- What it called itself (User-Agent), and the name by which it called the box.
    agent      TEXT,
    host       TEXT,
    created_at INTEGER NOT NULL,
    seen_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX happy_devices_by_account ON happy_devices (account_id, seen_at);

-- What signs tokens. Here and not beside the database, so that it goes along when the box moves.
CREATE TABLE happy_keys (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
