-- Which attachments are whole on the card; their bytes are files of the data folder.

CREATE TABLE happy_attachments (
    session_id TEXT NOT NULL REFERENCES happy_sessions (id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    account_id TEXT NOT NULL REFERENCES happy_accounts (id),
    bytes      INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (session_id, name)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER happy_attachments_made AFTER INSERT ON happy_attachments BEGIN
    UPDATE happy_accounts SET bytes = bytes + NEW.bytes WHERE id = NEW.account_id;
END;

CREATE TRIGGER happy_attachments_changed AFTER UPDATE OF bytes ON happy_attachments BEGIN
    UPDATE happy_accounts SET bytes = bytes + NEW.bytes - OLD.bytes WHERE id = NEW.account_id;
END;

CREATE TRIGGER happy_attachments_deleted AFTER DELETE ON happy_attachments BEGIN
    UPDATE happy_accounts SET bytes = bytes - OLD.bytes WHERE id = OLD.account_id;
END;
