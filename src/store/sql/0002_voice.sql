-- Voice Memory: conversations, what was said in them, and what is remembered.
-- Times are milliseconds since 1970 UTC. `seq` ties a row to its entry in a search index; ids are for clients.

CREATE TABLE conversations (
    id            TEXT PRIMARY KEY,
    summary       TEXT NOT NULL DEFAULT '',
    metadata      TEXT,
    message_count INTEGER NOT NULL DEFAULT 0,
    is_archived   INTEGER NOT NULL DEFAULT 0,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX conversations_by_update ON conversations (updated_at, id);

CREATE TABLE messages (
    seq             INTEGER PRIMARY KEY AUTOINCREMENT,
    id              TEXT NOT NULL UNIQUE,
    conversation_id TEXT NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    role            TEXT NOT NULL CHECK (role IN ('user', 'assistant')),
    content         TEXT NOT NULL,
    timestamp       INTEGER NOT NULL,
    tokens          INTEGER NOT NULL DEFAULT 0,
    model           TEXT,
    recording_id    TEXT,
    interrupted     INTEGER NOT NULL DEFAULT 0,
    spoken_chars    INTEGER
) STRICT;

CREATE INDEX messages_by_conversation ON messages (conversation_id, seq);
CREATE INDEX messages_by_time ON messages (timestamp);

CREATE TABLE memories (
    seq              INTEGER PRIMARY KEY AUTOINCREMENT,
    id               TEXT NOT NULL UNIQUE,
    content          TEXT NOT NULL,
    embedding        BLOB,
    metadata         TEXT,
    source           TEXT NOT NULL CHECK (source IN ('chat', 'manual', 'import', 'voice')),
    is_archived      INTEGER NOT NULL DEFAULT 0,
    title            TEXT NOT NULL DEFAULT '',
    summary          TEXT,
    key_points       TEXT,
    entities         TEXT,
    relations        TEXT,
    observations     TEXT,
    action_items     TEXT,
    category         TEXT NOT NULL DEFAULT 'life',
    importance       TEXT NOT NULL DEFAULT 'normal' CHECK (importance IN ('high', 'normal', 'low')),
    sentiment        TEXT,
    pinned           INTEGER NOT NULL DEFAULT 0,
    conversation_id  TEXT,
    message_id       TEXT,
    recording_id     TEXT,
    recorded_at      INTEGER,
    superseded_by    TEXT,
    recall_count     INTEGER NOT NULL DEFAULT 0,
    last_recalled_at INTEGER,
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL
) STRICT;

CREATE INDEX memories_by_time ON memories (is_archived, created_at);
CREATE INDEX memories_by_conversation ON memories (conversation_id) WHERE conversation_id IS NOT NULL;

CREATE TABLE tags (
    id    TEXT PRIMARY KEY,
    name  TEXT NOT NULL UNIQUE COLLATE NOCASE,
    color TEXT NOT NULL DEFAULT '#3B82F6'
) STRICT, WITHOUT ROWID;

CREATE TABLE memory_tags (
    memory_id TEXT NOT NULL,
    tag_id    TEXT NOT NULL,
    PRIMARY KEY (memory_id, tag_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX memory_tags_by_tag ON memory_tags (tag_id, memory_id);

-- Written by the program in the transaction of the row itself, never by triggers: every CJK
-- character is set apart by spaces first, which SQL cannot do. Contentless: the words live in
-- the index, the text only in its table.
CREATE VIRTUAL TABLE memory_index USING fts5 (
    title, tags, summary, content,
    content = '', contentless_delete = 1,
    tokenize = 'unicode61 remove_diacritics 2'
);

CREATE VIRTUAL TABLE message_index USING fts5 (
    content,
    content = '', contentless_delete = 1,
    tokenize = 'unicode61 remove_diacritics 2'
);

CREATE TABLE settings (
    key        TEXT PRIMARY KEY,
    value      TEXT NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
