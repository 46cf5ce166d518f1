-- Secrets that are valid for a limited time: links, sign-ins and forms. Kept until they are purged after their expiry.
CREATE TABLE tickets (
    -- `link`, `sign-in` or `form`.
    kind text COLLATE "C" NOT NULL,
    -- SHA-256 of the secret.
    digest bytea NOT NULL CHECK (length(digest) = 32),
    actor_id text COLLATE "C" NOT NULL,
    issued_at bigint NOT NULL,
    -- The last second in which the ticket is valid.
    expires_at bigint NOT NULL,
    PRIMARY KEY (kind, digest)
);

-- A purge searches for the tickets that have expired.
CREATE INDEX tickets_by_expiry ON tickets (expires_at);
