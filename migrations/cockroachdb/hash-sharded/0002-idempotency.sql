-- When keys end goes up like the time at which they are used.
CREATE INDEX IF NOT EXISTS idempotency_keys_expiry_sharded ON holdfast.idempotency_keys (expires_at) USING HASH;
-- next
DROP INDEX IF EXISTS holdfast.idempotency_keys@idempotency_keys_expiry;
