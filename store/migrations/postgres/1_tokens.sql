-- Records of tokens. Times are unix seconds. Text is compared by its bytes: no index depends on the system's collations.
CREATE TABLE tokens (
    handler text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    actor_id text COLLATE "C" NOT NULL,
    description text,
    -- JSON, as Datasette's `_r`. NULL: none.
    restrictions text,
    issued_at bigint NOT NULL,
    expires_at bigint,
    last_used_at bigint,
    ended_at bigint,
    -- What is neither `revoked` nor `replaced` counts as revoked.
    ended_why text,
    -- SHA-256 of the secret. NULL: the token has none, or is signed.
    digest bytea CHECK (length(digest) = 32),
    PRIMARY KEY (handler, id),
    CHECK ((ended_at IS NULL) = (ended_why IS NULL))
);

-- Nobody's, and good for nothing: what is read in place of a record that is not there, so that this takes as long.
INSERT INTO tokens (handler, id, actor_id, issued_at, ended_at, ended_why, digest)
VALUES ('', '', 'nobody@example.com', 0, 0, 'revoked', decode(repeat('00', 32), 'hex'));

CREATE UNIQUE INDEX tokens_by_digest ON tokens (handler, digest) WHERE digest IS NOT NULL;

-- By hash, because what is indexed otherwise is at most 2,700 bytes long.
CREATE INDEX tokens_by_actor ON tokens USING hash (actor_id);

-- How many records of a handler are good: asked for each one that is made, and answered from this index alone.
CREATE INDEX tokens_not_ended ON tokens (handler, expires_at, ended_at) WHERE ended_at IS NULL;

-- The greatest number that was given out for a record of a handler.
CREATE TABLE serials (
    handler text COLLATE "C" NOT NULL PRIMARY KEY,
    last bigint NOT NULL
);

-- What was taken back. Only ever appended to, under a lock, so that numbers become visible in their order. NULL fits
-- everything.
CREATE TABLE revocations (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    handler text,
    token_id text,
    actor_id text,
    issued_until bigint,
    at bigint NOT NULL
);
