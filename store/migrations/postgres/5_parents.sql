-- The token with which this one was requested, and with which it is revoked. NULL: none, or issued before this was kept.
ALTER TABLE tokens ADD COLUMN parent_handler text;
ALTER TABLE tokens ADD COLUMN parent_id text;

CREATE INDEX tokens_by_parent ON tokens (parent_handler, parent_id) WHERE parent_id IS NOT NULL;

-- Searched for the parent of each new token that has one.
CREATE INDEX revocations_by_token ON revocations (token_id, handler) WHERE token_id IS NOT NULL;
