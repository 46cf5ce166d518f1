-- Records of tokens. Times are unix seconds.
CREATE TABLE tokens (
    handler TEXT NOT NULL,
    id TEXT NOT NULL,
    actor_id TEXT NOT NULL,
    description TEXT,
    -- JSON, as Datasette's `_r`. NULL: none.
    restrictions TEXT,
    issued_at INTEGER NOT NULL,
    expires_at INTEGER,
    last_used_at INTEGER,
    ended_at INTEGER,
    -- What is neither `revoked` nor `replaced` counts as revoked.
    ended_why TEXT,
    -- SHA-256 of the secret. NULL: the token has none, or is signed.
    digest BLOB CHECK (length(digest) = 32),
    PRIMARY KEY (handler, id),
    CHECK ((ended_at IS NULL) = (ended_why IS NULL))
) STRICT;

-- Nobody's, and good for nothing: what is read in place of a record that is not there, so that this takes as long.
INSERT INTO tokens (handler, id, actor_id, issued_at, ended_at, ended_why, digest)
VALUES ('', '', 'nobody@example.com', 0, 0, 'revoked', zeroblob(32));

CREATE UNIQUE INDEX tokens_by_digest ON tokens (handler, digest) WHERE digest IS NOT NULL;

CREATE INDEX tokens_by_actor ON tokens (actor_id, handler);

-- How many records of a handler are good: asked for each one that is made, and answered from this index alone.
CREATE INDEX tokens_not_ended ON tokens (handler, expires_at, ended_at) WHERE ended_at IS NULL;

-- The greatest number that was given out for a record of a handler.
CREATE TABLE serials (
    handler TEXT NOT NULL PRIMARY KEY,
    last INTEGER NOT NULL
) STRICT;

-- What was taken back. Only ever appended to; NULL fits everything.
CREATE TABLE revocations (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    handler TEXT,
    token_id TEXT,
    actor_id TEXT,
    issued_until INTEGER,
    at INTEGER NOT NULL
) STRICT;
