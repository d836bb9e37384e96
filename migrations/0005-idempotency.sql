-- What was done under a client's Idempotency-Key, written in the write's own transaction. A row is its caller's alone: no
-- login role has a right on the table, and the functions below find a row by its whole key only (CWE-639).
-- key_hash: SHA-256 of credential kind, method, route and the client's key; fingerprint: of what was asked for; grants: of
-- what the caller might do. `slot` is the quota: whoever has no free one left gets no further key (CWE-770). No foreign key:
-- whoever removes themselves must find their claim, and enter judges before anything is told.
CREATE TABLE holdfast.idempotency_keys (
  tenant_id UUID NOT NULL,
  user_id UUID NOT NULL,
  key_hash BYTEA NOT NULL CHECK (length(key_hash) = 32),
  slot INT8 NOT NULL,
  fingerprint BYTEA NOT NULL CHECK (length(fingerprint) = 32),
  grants BYTEA NOT NULL CHECK (length(grants) = 32),
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  expires_at TIMESTAMPTZ NOT NULL,
  status INT8 CHECK (status BETWEEN 200 AND 599),
  content_type TEXT,
  etag TEXT,
  location TEXT,
  body BYTEA CHECK (length(body) <= 32768),
  withheld TEXT NOT NULL DEFAULT '' CHECK (withheld IN ('', 'shown_once', 'not_kept')),
  PRIMARY KEY (tenant_id, user_id, key_hash),
  UNIQUE (tenant_id, user_id, slot)
);
-- next
CREATE INDEX idempotency_keys_expiry ON holdfast.idempotency_keys (expires_at);
-- next
ALTER TABLE holdfast.idempotency_keys ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
-- next
CREATE POLICY tenant_isolation ON holdfast.idempotency_keys FOR ALL TO PUBLIC
  USING (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID)
  WITH CHECK (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID);
-- next
-- The clean-up has no tenant: what is past its time may go, and nothing else is seen by this.
CREATE POLICY sweep_expired ON holdfast.idempotency_keys FOR ALL TO holdfast_enter
  USING (expires_at <= now()) WITH CHECK (false);
-- next
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE holdfast.idempotency_keys TO holdfast_enter;
-- next
GRANT CREATE ON SCHEMA holdfast TO holdfast_enter;
-- next as holdfast_enter
-- Takes a key for this transaction. Raises KH200 when it was used already, KH429 when the caller has too many. It reads
-- nothing before it writes: a count would make all writes of one caller collide under SERIALIZABLE. Whoever holds the key
-- in a transaction under way is waited for, at most for `wait`; then it is 55P03, or 40001 when they have committed.
CREATE FUNCTION holdfast.claim_idempotency_key(
  of_tenant UUID,
  of_user UUID,
  wanted_key BYTEA,
  asked BYTEA,
  held BYTEA,
  slots INT8,
  lifetime_seconds INT8,
  wait TEXT
) RETURNS BOOL LANGUAGE plpgsql VOLATILE SECURITY DEFINER {{pinned_search_path}} AS $$
DECLARE
  claimed UUID;
  known_until TIMESTAMPTZ;
  tries INT8 := 0;
  before TEXT;
  set_to TEXT;
BEGIN
  before := current_setting('lock_timeout');
  set_to := set_config('lock_timeout', wait, true);
  WHILE claimed IS NULL LOOP
    INSERT INTO holdfast.idempotency_keys (tenant_id, user_id, key_hash, slot, fingerprint, grants, expires_at)
    VALUES (of_tenant, of_user, wanted_key, floor(random() * slots)::INT8, asked, held,
      now() + lifetime_seconds * INTERVAL '1 second')
    ON CONFLICT DO NOTHING
    RETURNING tenant_id INTO claimed;
    IF claimed IS NULL THEN
      SELECT max(k.expires_at) INTO known_until FROM holdfast.idempotency_keys k
      WHERE k.tenant_id = of_tenant AND k.user_id = of_user AND k.key_hash = wanted_key;
      IF known_until > now() THEN
        RAISE EXCEPTION 'done' USING ERRCODE = 'KH200';
      END IF;
      IF known_until IS NOT NULL THEN
        DELETE FROM holdfast.idempotency_keys k
        WHERE k.tenant_id = of_tenant AND k.user_id = of_user AND k.key_hash = wanted_key;
      END IF;
      tries := tries + 1;
      IF tries > 64 THEN
        RAISE EXCEPTION 'too many' USING ERRCODE = 'KH429';
      END IF;
    END IF;
  END LOOP;
  set_to := set_config('lock_timeout', before, true);
  RETURN true;
END
$$;
-- next as holdfast_enter
REVOKE ALL ON FUNCTION holdfast.claim_idempotency_key FROM PUBLIC;
-- next as holdfast_enter
GRANT EXECUTE ON FUNCTION holdfast.claim_idempotency_key TO holdfast_app, holdfast_identity;
-- next as holdfast_enter
-- Writes the answer to a key that this transaction has claimed: the last statement before COMMIT.
CREATE FUNCTION holdfast.keep_answer(
  of_tenant UUID,
  of_user UUID,
  claimed_key BYTEA,
  answered INT8,
  its_content_type TEXT,
  its_etag TEXT,
  its_location TEXT,
  its_body BYTEA,
  its_withheld TEXT
) RETURNS BOOL LANGUAGE plpgsql VOLATILE SECURITY DEFINER {{pinned_search_path}} AS $$
DECLARE
  kept UUID;
BEGIN
  UPDATE holdfast.idempotency_keys SET status = answered, content_type = its_content_type, etag = its_etag,
    location = its_location, body = its_body, withheld = its_withheld
  WHERE tenant_id = of_tenant AND user_id = of_user AND key_hash = claimed_key AND status IS NULL
  RETURNING tenant_id INTO kept;
  IF kept IS NULL THEN
    RAISE EXCEPTION 'the key was not claimed' USING ERRCODE = 'KH500';
  END IF;
  RETURN true;
END
$$;
-- next as holdfast_enter
REVOKE ALL ON FUNCTION holdfast.keep_answer FROM PUBLIC;
-- next as holdfast_enter
GRANT EXECUTE ON FUNCTION holdfast.keep_answer TO holdfast_app, holdfast_identity;
-- next as holdfast_enter
-- What was answered under one key of one caller. What is withheld has no body to give.
CREATE FUNCTION holdfast.kept_answer(of_tenant UUID, of_user UUID, sought_key BYTEA)
RETURNS TABLE (fingerprint BYTEA, grants BYTEA, status INT8, content_type TEXT, etag TEXT, location TEXT, body BYTEA, withheld TEXT)
LANGUAGE sql STABLE SECURITY DEFINER {{pinned_search_path}} AS $$
  SELECT k.fingerprint, k.grants, k.status, k.content_type, k.etag, k.location, k.body, k.withheld
  FROM holdfast.idempotency_keys k
  WHERE k.tenant_id = of_tenant AND k.user_id = of_user AND k.key_hash = sought_key AND k.expires_at > now()
$$;
-- next as holdfast_enter
REVOKE ALL ON FUNCTION holdfast.kept_answer FROM PUBLIC;
-- next as holdfast_enter
GRANT EXECUTE ON FUNCTION holdfast.kept_answer TO holdfast_app, holdfast_identity;
-- next as holdfast_enter
-- Deletes keys past their time, of all tenants, so many at most; a row for each.
CREATE FUNCTION holdfast.sweep_idempotency_keys(most INT8) RETURNS SETOF INT8
LANGUAGE sql VOLATILE SECURITY DEFINER {{pinned_search_path}} AS $$
  DELETE FROM holdfast.idempotency_keys k
  WHERE k.expires_at <= now() AND (k.tenant_id, k.user_id, k.key_hash) IN (
    SELECT e.tenant_id, e.user_id, e.key_hash FROM holdfast.idempotency_keys e
    WHERE e.expires_at <= now() ORDER BY e.expires_at LIMIT most
  )
  RETURNING k.slot
$$;
-- next as holdfast_enter
REVOKE ALL ON FUNCTION holdfast.sweep_idempotency_keys FROM PUBLIC;
-- next as holdfast_enter
GRANT EXECUTE ON FUNCTION holdfast.sweep_idempotency_keys TO holdfast_identity;
-- next
REVOKE CREATE ON SCHEMA holdfast FROM holdfast_enter;
