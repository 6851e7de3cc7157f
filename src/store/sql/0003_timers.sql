-- Timers, alarms and reminders. Times are milliseconds since 1970 UTC.

CREATE TABLE timers (
    id          TEXT PRIMARY KEY,
    kind        TEXT NOT NULL CHECK (kind IN ('timer', 'alarm', 'reminder')),
    label       TEXT NOT NULL DEFAULT '',
    state       TEXT NOT NULL CHECK (state IN ('pending', 'ringing', 'done', 'cancelled', 'missed')),
    due_at      INTEGER NOT NULL,
    duration_ms INTEGER,
    repeat      TEXT,
    time_of_day TEXT,
    snoozes     INTEGER NOT NULL DEFAULT 0,
    missed_at   INTEGER,
    language    TEXT NOT NULL DEFAULT 'en',
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX timers_by_state ON timers (state, due_at);
