-- A push whose receipt is still to be asked for, with the phone that it was for.
ALTER TABLE happy_push_tokens ADD COLUMN ticket TEXT;
ALTER TABLE happy_push_tokens ADD COLUMN ticket_at INTEGER;

CREATE INDEX happy_push_tokens_ticket ON happy_push_tokens (ticket_at) WHERE ticket IS NOT NULL;
