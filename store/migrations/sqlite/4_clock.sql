-- Set in an entry that revokes nothing: no cut-off before it lies behind this second. The operator's word that some clock was
-- ahead.
ALTER TABLE revocations ADD COLUMN capped_at INTEGER;

-- The newest time that a clock has shown which was believed. One row, or none yet.
CREATE TABLE clock (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    newest INTEGER NOT NULL
) STRICT;
