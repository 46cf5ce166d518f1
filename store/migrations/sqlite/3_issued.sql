-- SHA-256 of the issued token. NULL: issued elsewhere, or before digests were kept.
ALTER TABLE tokens ADD COLUMN token_digest BLOB CHECK (length(token_digest) = 32);

-- Across handlers too: a token is revoked whatever its handler is called now.
CREATE UNIQUE INDEX tokens_by_token_digest ON tokens (token_digest, handler) WHERE token_digest IS NOT NULL;

-- The token with this digest, together with or in the place of `token_id`.
ALTER TABLE revocations ADD COLUMN token_digest BLOB CHECK (length(token_digest) = 32);
