-- A session that was deleted is nobody's from then on, and goes piece by piece.
ALTER TABLE happy_sessions ADD COLUMN deleting INTEGER NOT NULL DEFAULT 0;

CREATE INDEX happy_sessions_deleting ON happy_sessions (id) WHERE deleting = 1;

-- Its tag is given up for another session, and weighs too.
DROP TRIGGER happy_sessions_changed;

CREATE TRIGGER happy_sessions_changed
AFTER UPDATE OF tag, metadata, agent_state, bytes ON happy_sessions BEGIN
    UPDATE happy_accounts SET bytes = bytes + NEW.bytes - OLD.bytes
        + octet_length(NEW.tag) - octet_length(OLD.tag)
        + octet_length(NEW.metadata) - octet_length(OLD.metadata)
        + coalesce(octet_length(NEW.agent_state), 0) - coalesce(octet_length(OLD.agent_state), 0)
    WHERE id = NEW.account_id;
END;
