-- What Happy accounts keep beside sessions: settings, keys and values, push tokens, usage, tokens
-- of vendors, and what they are to each other.

ALTER TABLE happy_accounts ADD COLUMN settings TEXT;
ALTER TABLE happy_accounts ADD COLUMN settings_version INTEGER NOT NULL DEFAULT 0;
-- Of the newest post in the account's feed.
ALTER TABLE happy_accounts ADD COLUMN feed_seq INTEGER NOT NULL DEFAULT 0;
-- Rows and bytes in happy_kv.
ALTER TABLE happy_accounts ADD COLUMN kv_keys INTEGER NOT NULL DEFAULT 0;
ALTER TABLE happy_accounts ADD COLUMN kv_bytes INTEGER NOT NULL DEFAULT 0;
-- By which others find the person; given by the owner of the box.
ALTER TABLE happy_accounts ADD COLUMN username TEXT COLLATE NOCASE;
CREATE UNIQUE INDEX happy_accounts_by_username ON happy_accounts (username);

CREATE TABLE happy_kv (
    account_id TEXT NOT NULL REFERENCES happy_accounts (id),
    key        TEXT NOT NULL,
    -- NULL: deleted; the row stays for its version.
    value      TEXT,
    version    INTEGER NOT NULL,
    PRIMARY KEY (account_id, key)
) STRICT;

CREATE TABLE happy_push_tokens (
    id         TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES happy_accounts (id),
    token      TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (account_id, token)
) STRICT;

CREATE TABLE happy_usage (
    id         TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES happy_accounts (id),
    session_id TEXT NOT NULL REFERENCES happy_sessions (id) ON DELETE CASCADE,
    key        TEXT NOT NULL,
    -- JSON: tokens and cost.
    data       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (session_id, key)
) STRICT;

CREATE INDEX happy_usage_by_time ON happy_usage (account_id, created_at);

CREATE TABLE happy_vendor_tokens (
    account_id TEXT NOT NULL REFERENCES happy_accounts (id),
    vendor     TEXT NOT NULL,
    -- With the box's key.
    sealed     TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (account_id, vendor)
) STRICT;

-- What one is to another, in one's own eyes; no row: nothing.
CREATE TABLE happy_relations (
    from_id     TEXT NOT NULL REFERENCES happy_accounts (id),
    to_id       TEXT NOT NULL REFERENCES happy_accounts (id),
    status      TEXT NOT NULL
                CHECK (status IN ('none', 'requested', 'pending', 'friend', 'rejected')),
    accepted_at INTEGER,
    -- Of a post about the other in one's own feed.
    notified_at INTEGER,
    UNIQUE (from_id, to_id)
) STRICT;

CREATE TABLE happy_feed (
    id         TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES happy_accounts (id),
    counter    INTEGER NOT NULL,
    -- A newer post of the same key takes the place of the older.
    repeat_key TEXT,
    body       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (account_id, counter),
    UNIQUE (account_id, repeat_key)
) STRICT;
