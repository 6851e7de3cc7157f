-- The Happy sync room: accounts, and the requests by which a terminal or another phone is let in.

CREATE TABLE happy_accounts (
    id         TEXT PRIMARY KEY,
    -- Ed25519, lower-case hex.
    public_key TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE happy_pairings (
    kind        TEXT NOT NULL CHECK (kind IN ('terminal', 'account')),
    -- X25519, lower-case hex.
    public_key  TEXT NOT NULL,
    id          TEXT NOT NULL UNIQUE,
    supports_v2 INTEGER NOT NULL DEFAULT 0,
    -- Sealed for the requester; the box cannot read it. With it comes the account that said yes.
    response    TEXT,
    account_id  TEXT REFERENCES happy_accounts (id),
    created_at  INTEGER NOT NULL,
    answered_at INTEGER,
    PRIMARY KEY (kind, public_key)
) STRICT, WITHOUT ROWID;

CREATE INDEX happy_pairings_by_time ON happy_pairings (created_at);
