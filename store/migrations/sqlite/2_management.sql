-- The id of the daemon's caller that had it made. NULL: the operator, or nobody knows.
ALTER TABLE tokens ADD COLUMN caller TEXT;

-- The key that signed it, as `ring/id`. NULL: none, or nobody knows.
ALTER TABLE tokens ADD COLUMN key TEXT;

-- Lists go from the newest to the oldest: of all, of a handler, of a caller. In no index is what a use changes.
CREATE INDEX tokens_by_issue ON tokens (issued_at, handler, id);
CREATE INDEX tokens_by_handler ON tokens (handler, issued_at, id);
CREATE INDEX tokens_by_caller ON tokens (caller, issued_at, handler, id) WHERE caller IS NOT NULL;

-- What each key has signed is answered from this index alone.
CREATE INDEX tokens_by_key ON tokens (key, ended_at, expires_at) WHERE key IS NOT NULL;

-- Up to which number a node has read the revocations, and when it said so.
CREATE TABLE nodes (
    node TEXT NOT NULL PRIMARY KEY,
    last INTEGER NOT NULL,
    at INTEGER NOT NULL
) STRICT;
