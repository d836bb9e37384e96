-- Indexes led by a time that only goes up: all that is written goes to their end, and so to one range of one node.
-- In shards the same writes go to many. Keys need it nowhere: they are random, or led by a tenant.
-- Source: "Index Sequential Keys with Hash-sharded Indexes". A new one first, then the old one goes.
CREATE INDEX IF NOT EXISTS journal_by_time_sharded ON holdfast.journal (at) USING HASH;
-- next
DROP INDEX IF EXISTS holdfast.journal@journal_by_time;
-- next
CREATE INDEX IF NOT EXISTS outbox_due_sharded ON holdfast.outbox (next_attempt_at) USING HASH;
-- next
DROP INDEX IF EXISTS holdfast.outbox@outbox_due;
-- next
CREATE INDEX IF NOT EXISTS throttle_expiry_sharded ON holdfast.throttle (expires_at) USING HASH;
-- next
DROP INDEX IF EXISTS holdfast.throttle@throttle_expiry;
