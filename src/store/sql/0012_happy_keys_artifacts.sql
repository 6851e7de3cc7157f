-- What a session's terminal keeps for one machine, and what an account keeps beside its sessions.

CREATE TABLE happy_access_keys (
    session_id   TEXT NOT NULL REFERENCES happy_sessions (id) ON DELETE CASCADE,
    machine_id   TEXT NOT NULL REFERENCES happy_machines (id) ON DELETE CASCADE,
    account_id   TEXT NOT NULL REFERENCES happy_accounts (id),
    data         TEXT NOT NULL,
    data_version INTEGER NOT NULL DEFAULT 1,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    PRIMARY KEY (session_id, machine_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX happy_access_keys_by_machine ON happy_access_keys (machine_id);

CREATE TABLE happy_artifacts (
    -- Chosen by the client.
    id                  TEXT PRIMARY KEY,
    account_id          TEXT NOT NULL REFERENCES happy_accounts (id),
    header              TEXT NOT NULL,
    header_version      INTEGER NOT NULL DEFAULT 1,
    body                TEXT NOT NULL,
    body_version        INTEGER NOT NULL DEFAULT 1,
    data_encryption_key TEXT NOT NULL,
    -- Counts the changes.
    seq                 INTEGER NOT NULL DEFAULT 0,
    created_at          INTEGER NOT NULL,
    updated_at          INTEGER NOT NULL
) STRICT;

CREATE INDEX happy_artifacts_by_time ON happy_artifacts (account_id, updated_at DESC);

CREATE TRIGGER happy_access_keys_made AFTER INSERT ON happy_access_keys BEGIN
    UPDATE happy_accounts SET bytes = bytes + octet_length(NEW.data) WHERE id = NEW.account_id;
END;

CREATE TRIGGER happy_access_keys_changed AFTER UPDATE OF data ON happy_access_keys BEGIN
    UPDATE happy_accounts SET bytes = bytes + octet_length(NEW.data) - octet_length(OLD.data)
    WHERE id = NEW.account_id;
END;

CREATE TRIGGER happy_access_keys_deleted AFTER DELETE ON happy_access_keys BEGIN
    UPDATE happy_accounts SET bytes = bytes - octet_length(OLD.data) WHERE id = OLD.account_id;
END;

CREATE TRIGGER happy_artifacts_made AFTER INSERT ON happy_artifacts BEGIN
    UPDATE happy_accounts SET bytes = bytes + octet_length(NEW.header) + octet_length(NEW.body)
    WHERE id = NEW.account_id;
END;

CREATE TRIGGER happy_artifacts_changed AFTER UPDATE OF header, body ON happy_artifacts BEGIN
    UPDATE happy_accounts SET bytes = bytes
        + octet_length(NEW.header) - octet_length(OLD.header)
        + octet_length(NEW.body) - octet_length(OLD.body)
    WHERE id = NEW.account_id;
END;

CREATE TRIGGER happy_artifacts_deleted AFTER DELETE ON happy_artifacts BEGIN
    UPDATE happy_accounts SET bytes = bytes - octet_length(OLD.header) - octet_length(OLD.body)
    WHERE id = OLD.account_id;
END;
