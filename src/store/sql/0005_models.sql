-- What a model cost and who gave it; what of a long conversation is summed up; pinned memories found
-- without reading all.

ALTER TABLE messages ADD COLUMN provider TEXT;
-- Of an answer: everything the model was shown.
ALTER TABLE messages ADD COLUMN input_tokens INTEGER;

ALTER TABLE conversations ADD COLUMN rolling_summary TEXT;
-- `seq` of the last message that is in it.
ALTER TABLE conversations ADD COLUMN rolling_upto INTEGER;

CREATE INDEX memories_pinned ON memories (created_at) WHERE pinned = 1;
