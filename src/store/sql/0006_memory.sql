-- What is known of memories beyond their text: facts, vectors, what a model filed, and what it
-- may not file.

ALTER TABLE memories ADD COLUMN organized_at INTEGER;
-- A model is still to file it.
ALTER TABLE memories ADD COLUMN wants_organizing INTEGER NOT NULL DEFAULT 0;
CREATE INDEX memories_to_organize ON memories (seq) WHERE wants_organizing = 1;

-- The last message that automatic filing has seen, whether anything came of it or not.
ALTER TABLE conversations ADD COLUMN filed_seq INTEGER NOT NULL DEFAULT 0;

-- Never filed by itself: said in private, or forgotten since.
ALTER TABLE messages ADD COLUMN is_private INTEGER NOT NULL DEFAULT 0;

-- One value of one thing's property, as a memory tells it. `subject` and `predicate` are in the
-- form in which they are compared. A memory all of whose facts have been replaced is superseded.
CREATE TABLE facts (
    memory_id     TEXT NOT NULL,
    subject       TEXT NOT NULL,
    predicate     TEXT NOT NULL,
    value         TEXT NOT NULL,
    valid_from    INTEGER,
    -- The memory that holds the present value.
    superseded_by TEXT,
    PRIMARY KEY (memory_id, subject, predicate)
) STRICT, WITHOUT ROWID;

CREATE INDEX facts_by_name ON facts (subject, predicate);

-- Meaning of a memory by one model: scale as float32 and one signed byte for each dimension.
CREATE TABLE memory_vectors (
    seq    INTEGER PRIMARY KEY,
    model  TEXT NOT NULL,
    vector BLOB NOT NULL
) STRICT;

-- Memories that a model proposes and a person has not decided on.
CREATE TABLE suggestions (
    id              TEXT PRIMARY KEY,
    conversation_id TEXT,
    memory          TEXT NOT NULL,
    created_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX suggestions_by_time ON suggestions (created_at);

-- A day told in a few sentences.
CREATE TABLE summaries (
    date       TEXT PRIMARY KEY,
    text       TEXT NOT NULL,
    language   TEXT NOT NULL,
    model      TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX memories_by_newer ON memories (superseded_by) WHERE superseded_by IS NOT NULL;
CREATE INDEX memories_by_message ON memories (message_id) WHERE message_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS memories_by_recording ON memories (recording_id) WHERE recording_id IS NOT NULL;
