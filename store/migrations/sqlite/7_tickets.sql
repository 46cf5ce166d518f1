-- Secrets that are valid for a limited time: links, sign-ins and forms. Kept until they are purged after their expiry.
CREATE TABLE tickets (
    -- `link`, `sign-in` or `form`.
    kind TEXT NOT NULL,
    -- SHA-256 of the secret.
    digest BLOB NOT NULL CHECK (length(digest) = 32),
    actor_id TEXT NOT NULL,
    issued_at INTEGER NOT NULL,
    -- The last second in which the ticket is valid.
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (kind, digest)
) STRICT;

-- A purge searches for the tickets that have expired.
CREATE INDEX tickets_by_expiry ON tickets (expires_at);
