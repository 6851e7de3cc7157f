-- What was heard, as sound on disk, and the work that waits for a network or a model.
-- Times are milliseconds since 1970 UTC.

CREATE TABLE recordings (
    id              TEXT PRIMARY KEY,
    -- Name below `recordings/`; NULL once the sound is gone.
    file            TEXT,
    -- `wav`, `webm`, `ogg`, `mp3`, `flac`, `mp4` or `aac`.
    format          TEXT NOT NULL,
    origin          TEXT NOT NULL CHECK (origin IN ('device', 'ws', 'upload', 'reply')),
    mode            TEXT NOT NULL CHECK (mode IN ('chat', 'note', 'auto')),
    -- recording: sound still comes; waiting: whole, no transcript yet; done: transcript stored;
    -- failed: given up, see its job.
    state           TEXT NOT NULL CHECK (state IN ('recording', 'waiting', 'done', 'failed')),
    bytes           INTEGER NOT NULL DEFAULT 0,
    duration_ms     INTEGER,
    -- SHA-256 of the whole file.
    hash            BLOB,
    client_id       TEXT,
    conversation_id TEXT,
    language        TEXT,
    speak           TEXT NOT NULL DEFAULT 'none',
    text            TEXT,
    memory_id       TEXT,
    -- The answer as the client was told, for whoever asks again.
    result          TEXT,
    recorded_at     INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX recordings_by_client ON recordings (client_id) WHERE client_id IS NOT NULL;
CREATE INDEX recordings_by_state ON recordings (state, created_at);
CREATE INDEX recordings_with_sound ON recordings (created_at) WHERE file IS NOT NULL;

CREATE INDEX messages_by_recording ON messages (recording_id) WHERE recording_id IS NOT NULL;

-- Transcripts of a long memo, piece by piece.
CREATE TABLE recording_pieces (
    recording_id TEXT NOT NULL REFERENCES recordings (id) ON DELETE CASCADE,
    number       INTEGER NOT NULL,
    from_sample  INTEGER NOT NULL,
    to_sample    INTEGER NOT NULL,
    text         TEXT,
    PRIMARY KEY (recording_id, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE jobs (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    id           TEXT NOT NULL UNIQUE,
    kind         TEXT NOT NULL CHECK (kind IN ('stt', 'reply', 'organize', 'embed', 'summary')),
    -- What the work is about; a kind is done once for a subject at a time.
    subject      TEXT NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed')),
    -- Counts up when the same work is asked for again while it runs.
    revision     INTEGER NOT NULL DEFAULT 0,
    attempts     INTEGER NOT NULL DEFAULT 0,
    waited_ms    INTEGER NOT NULL DEFAULT 0,
    -- Others go on while this one waits by itself for its time.
    is_aside     INTEGER NOT NULL DEFAULT 0,
    next_at      INTEGER NOT NULL,
    last_error   TEXT,
    recording_id TEXT,
    payload      TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    UNIQUE (kind, subject)
) STRICT;

CREATE INDEX jobs_by_state ON jobs (kind, state, seq);
CREATE INDEX jobs_by_recording ON jobs (recording_id) WHERE recording_id IS NOT NULL;

-- Sums that every look at the box's health wants, kept by the tables themselves.
CREATE TABLE queue_totals (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO queue_totals (name, value)
VALUES ('queued', 0), ('running', 0), ('done', 0), ('failed', 0), ('sound_waiting', 0), ('sound_kept', 0);

CREATE TRIGGER jobs_counted_in AFTER INSERT ON jobs BEGIN
    UPDATE queue_totals SET value = value + 1 WHERE name = new.state;
END;
CREATE TRIGGER jobs_counted_out AFTER DELETE ON jobs BEGIN
    UPDATE queue_totals SET value = value - 1 WHERE name = old.state;
END;
CREATE TRIGGER jobs_counted_over AFTER UPDATE OF state ON jobs WHEN old.state <> new.state BEGIN
    UPDATE queue_totals SET value = value - 1 WHERE name = old.state;
    UPDATE queue_totals SET value = value + 1 WHERE name = new.state;
END;

-- Sound that still has to be understood counts against the cap and is never removed for room.
CREATE TRIGGER sound_counted_in AFTER INSERT ON recordings WHEN new.file IS NOT NULL BEGIN
    UPDATE queue_totals SET value = value + new.bytes
    WHERE name = CASE WHEN new.state IN ('recording', 'waiting', 'failed') THEN 'sound_waiting' ELSE 'sound_kept' END;
END;
CREATE TRIGGER sound_counted_out AFTER DELETE ON recordings WHEN old.file IS NOT NULL BEGIN
    UPDATE queue_totals SET value = value - old.bytes
    WHERE name = CASE WHEN old.state IN ('recording', 'waiting', 'failed') THEN 'sound_waiting' ELSE 'sound_kept' END;
END;
CREATE TRIGGER sound_counted_over AFTER UPDATE OF file, state, bytes ON recordings BEGIN
    UPDATE queue_totals SET value = value - (CASE WHEN old.file IS NULL THEN 0 ELSE old.bytes END)
    WHERE name = CASE WHEN old.state IN ('recording', 'waiting', 'failed') THEN 'sound_waiting' ELSE 'sound_kept' END;
    UPDATE queue_totals SET value = value + (CASE WHEN new.file IS NULL THEN 0 ELSE new.bytes END)
    WHERE name = CASE WHEN new.state IN ('recording', 'waiting', 'failed') THEN 'sound_waiting' ELSE 'sound_kept' END;
END;
