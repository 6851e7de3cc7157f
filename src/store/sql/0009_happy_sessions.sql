-- What Happy accounts sync first: sessions with their messages, and machines. All text in here
-- that is not a name or a key is ciphertext.

CREATE TABLE happy_sessions (
    id                  TEXT PRIMARY KEY,
    account_id          TEXT NOT NULL REFERENCES happy_accounts (id),
    tag                 TEXT NOT NULL,
    metadata            TEXT NOT NULL,
    metadata_version    INTEGER NOT NULL DEFAULT 0,
    agent_state         TEXT,
    agent_state_version INTEGER NOT NULL DEFAULT 0,
    data_encryption_key TEXT,
    -- Of the newest message; messages are numbered from 1 without a gap.
    seq                 INTEGER NOT NULL DEFAULT 0,
    active              INTEGER NOT NULL DEFAULT 1,
    last_active_at      INTEGER NOT NULL,
    created_at          INTEGER NOT NULL,
    updated_at          INTEGER NOT NULL,
    UNIQUE (account_id, tag)
) STRICT;

CREATE INDEX happy_sessions_by_time ON happy_sessions (account_id, updated_at DESC);

CREATE TABLE happy_messages (
    id         TEXT PRIMARY KEY,
    session_id TEXT NOT NULL REFERENCES happy_sessions (id),
    seq        INTEGER NOT NULL,
    local_id   TEXT,
    content    TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (session_id, seq),
    UNIQUE (session_id, local_id)
) STRICT;

CREATE TABLE happy_machines (
    -- Chosen by the client.
    id                   TEXT PRIMARY KEY,
    account_id           TEXT NOT NULL REFERENCES happy_accounts (id),
    metadata             TEXT NOT NULL,
    metadata_version     INTEGER NOT NULL DEFAULT 1,
    daemon_state         TEXT,
    daemon_state_version INTEGER NOT NULL DEFAULT 0,
    data_encryption_key  TEXT,
    active               INTEGER NOT NULL DEFAULT 0,
    last_active_at       INTEGER NOT NULL,
    created_at           INTEGER NOT NULL,
    updated_at           INTEGER NOT NULL
) STRICT;

CREATE INDEX happy_machines_by_account ON happy_machines (account_id, last_active_at DESC);
