-- All that a client chooses the length of counts among what its account stores.

DROP TRIGGER happy_sessions_made;
DROP TRIGGER happy_sessions_deleted;
DROP TRIGGER happy_artifacts_made;
DROP TRIGGER happy_artifacts_deleted;

CREATE TRIGGER happy_sessions_made AFTER INSERT ON happy_sessions BEGIN
    UPDATE happy_accounts SET bytes = bytes + NEW.bytes + octet_length(NEW.tag)
        + octet_length(NEW.metadata) + coalesce(octet_length(NEW.data_encryption_key), 0)
    WHERE id = NEW.account_id;
END;

CREATE TRIGGER happy_sessions_deleted AFTER DELETE ON happy_sessions BEGIN
    UPDATE happy_accounts SET bytes = bytes - OLD.bytes - octet_length(OLD.tag)
        - octet_length(OLD.metadata) - coalesce(octet_length(OLD.agent_state), 0)
        - coalesce(octet_length(OLD.data_encryption_key), 0)
    WHERE id = OLD.account_id;
END;

CREATE TRIGGER happy_artifacts_made AFTER INSERT ON happy_artifacts BEGIN
    UPDATE happy_accounts SET bytes = bytes + octet_length(NEW.id) + octet_length(NEW.header)
        + octet_length(NEW.body) + octet_length(NEW.data_encryption_key)
    WHERE id = NEW.account_id;
END;

CREATE TRIGGER happy_artifacts_deleted AFTER DELETE ON happy_artifacts BEGIN
    UPDATE happy_accounts SET bytes = bytes - octet_length(OLD.id) - octet_length(OLD.header)
        - octet_length(OLD.body) - octet_length(OLD.data_encryption_key)
    WHERE id = OLD.account_id;
END;

CREATE TRIGGER happy_machines_made AFTER INSERT ON happy_machines BEGIN
    UPDATE happy_accounts SET bytes = bytes + octet_length(NEW.id) + octet_length(NEW.metadata)
        + coalesce(octet_length(NEW.daemon_state), 0)
        + coalesce(octet_length(NEW.data_encryption_key), 0)
    WHERE id = NEW.account_id;
END;

CREATE TRIGGER happy_machines_changed AFTER UPDATE OF metadata, daemon_state ON happy_machines BEGIN
    UPDATE happy_accounts SET bytes = bytes
        + octet_length(NEW.metadata) - octet_length(OLD.metadata)
        + coalesce(octet_length(NEW.daemon_state), 0)
        - coalesce(octet_length(OLD.daemon_state), 0)
    WHERE id = NEW.account_id;
END;

CREATE TRIGGER happy_machines_deleted AFTER DELETE ON happy_machines BEGIN
    UPDATE happy_accounts SET bytes = bytes - octet_length(OLD.id) - octet_length(OLD.metadata)
        - coalesce(octet_length(OLD.daemon_state), 0)
        - coalesce(octet_length(OLD.data_encryption_key), 0)
    WHERE id = OLD.account_id;
END;

UPDATE happy_accounts SET bytes =
    coalesce((SELECT sum(bytes + octet_length(tag) + octet_length(metadata)
                  + coalesce(octet_length(agent_state), 0)
                  + coalesce(octet_length(data_encryption_key), 0))
              FROM happy_sessions WHERE account_id = happy_accounts.id), 0)
    + coalesce((SELECT sum(octet_length(id) + octet_length(metadata)
                  + coalesce(octet_length(daemon_state), 0)
                  + coalesce(octet_length(data_encryption_key), 0))
              FROM happy_machines WHERE account_id = happy_accounts.id), 0)
    + coalesce((SELECT sum(octet_length(id) + octet_length(header) + octet_length(body)
                  + octet_length(data_encryption_key))
              FROM happy_artifacts WHERE account_id = happy_accounts.id), 0)
    + coalesce((SELECT sum(octet_length(data))
              FROM happy_access_keys WHERE account_id = happy_accounts.id), 0)
    + coalesce((SELECT sum(bytes)
              FROM happy_attachments WHERE account_id = happy_accounts.id), 0);
