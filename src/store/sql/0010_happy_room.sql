-- How much an account stores. Triggers keep the sums, so that no write can forget them.
ALTER TABLE happy_accounts ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
-- Of its messages.
ALTER TABLE happy_sessions ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;

CREATE TRIGGER happy_sessions_made AFTER INSERT ON happy_sessions BEGIN
    UPDATE happy_accounts SET bytes = bytes + octet_length(NEW.metadata) + NEW.bytes
    WHERE id = NEW.account_id;
END;

CREATE TRIGGER happy_sessions_changed
AFTER UPDATE OF metadata, agent_state, bytes ON happy_sessions BEGIN
    UPDATE happy_accounts SET bytes = bytes + NEW.bytes - OLD.bytes
        + octet_length(NEW.metadata) - octet_length(OLD.metadata)
        + coalesce(octet_length(NEW.agent_state), 0) - coalesce(octet_length(OLD.agent_state), 0)
    WHERE id = NEW.account_id;
END;

CREATE TRIGGER happy_sessions_deleted AFTER DELETE ON happy_sessions BEGIN
    UPDATE happy_accounts SET bytes = bytes - OLD.bytes - octet_length(OLD.metadata)
        - coalesce(octet_length(OLD.agent_state), 0)
    WHERE id = OLD.account_id;
END;
