-- *Enter*: who the caller is now, judged by the database in the transaction of the data (CWE-613, CWE-863).
-- Functions belong to holdfast_enter, which can not log in; login roles may only execute them.
GRANT CREATE ON SCHEMA holdfast TO holdfast_enter;
-- next as holdfast_enter
-- One small function for each kind of credential; all yield the same row. A session's is its token's SHA-256.
CREATE FUNCTION holdfast.session_credential(
  credential BYTEA,
  OUT problem TEXT,
  OUT credential_id UUID,
  OUT user_id UUID,
  OUT bound_tenant UUID,
  OUT selected_tenant UUID,
  OUT assurance TEXT,
  OUT authenticated_at TIMESTAMPTZ,
  OUT touch_due BOOL
) LANGUAGE plpgsql STABLE SECURITY DEFINER {{pinned_search_path}} AS $$
BEGIN
  SELECT
    CASE
      WHEN s.revoked_at IS NOT NULL THEN 'session_revoked'
      WHEN s.expires_at <= now() THEN 'session_expired'
      WHEN s.last_seen_at + s.idle_seconds * INTERVAL '1 second' <= now() THEN 'session_idle'
      ELSE ''
    END,
    s.id, s.user_id, NULL::UUID, s.tenant_id, s.assurance, s.authenticated_at,
    s.last_seen_at < now() - INTERVAL '1 minute'
  INTO problem, credential_id, user_id, bound_tenant, selected_tenant, assurance, authenticated_at, touch_due
  FROM holdfast.sessions s
  WHERE s.token_hash = credential;
  IF credential_id IS NULL THEN
    problem := 'session_unknown';
  END IF;
END
$$;
-- next as holdfast_enter
REVOKE ALL ON FUNCTION holdfast.session_credential FROM PUBLIC;
-- next as holdfast_enter
-- Returns the caller, or raises: KH401, KH403, KH404, KH400 with the reason in DETAIL; KH409 with the true hint.
-- selectors: tenants named by the request's own sources, by id or slug; all must agree with the session's.
CREATE FUNCTION holdfast.enter(
  kind TEXT,
  credential BYTEA,
  selectors TEXT[],
  tenant_needed BOOL,
  required TEXT[],
  assurance_needed TEXT,
  max_age_seconds INT8,
  hint TEXT,
  OUT user_id TEXT,
  OUT tenant_id TEXT,
  OUT role TEXT,
  OUT grants_version TEXT,
  OUT credential_id TEXT,
  OUT assurance TEXT,
  OUT authenticated_at TIMESTAMPTZ,
  OUT touch_due BOOL
) LANGUAGE plpgsql STABLE SECURITY DEFINER {{pinned_search_path}} AS $$
DECLARE
  c_problem TEXT;
  c_credential UUID;
  c_user UUID;
  c_bound UUID;
  c_selected UUID;
  target UUID;
  named INT8;
  distinct_named INT8;
  user_status TEXT;
  tenant_status TEXT;
  member_role TEXT;
  current_version TEXT;
  granted INT8;
  truth TEXT;
BEGIN
  IF kind = 'session' THEN
    SELECT c.problem, c.credential_id, c.user_id, c.bound_tenant, c.selected_tenant, c.assurance, c.authenticated_at, c.touch_due
    INTO c_problem, c_credential, c_user, c_bound, c_selected, assurance, authenticated_at, touch_due
    FROM holdfast.session_credential(credential) c;
  ELSE
    c_problem := 'credential_kind_unknown';
  END IF;
  IF c_problem <> '' THEN
    RAISE EXCEPTION 'denied' USING ERRCODE = 'KH401', DETAIL = c_problem;
  END IF;

  target := COALESCE(c_bound, c_selected);
  IF tenant_needed AND target IS NOT NULL AND array_length(selectors, 1) > 0 THEN
    -- Compared with the caller's own tenant alone: whether another one is there must not show (CWE-204).
    SELECT count(*) INTO named
    FROM unnest(selectors) AS s(selector)
    JOIN holdfast.tenants t ON t.id = target AND (t.slug = s.selector OR t.id::TEXT = s.selector);
    IF named < array_length(selectors, 1) THEN
      RAISE EXCEPTION 'denied' USING
        ERRCODE = CASE WHEN c_bound IS NULL THEN 'KH400' ELSE 'KH401' END,
        DETAIL = CASE WHEN c_bound IS NULL THEN 'tenant_sources_disagree' ELSE 'credential_bound_elsewhere' END;
    END IF;
  END IF;
  IF tenant_needed AND target IS NULL AND array_length(selectors, 1) > 0 THEN
    SELECT count(*), count(DISTINCT t.id), max(t.id::TEXT)::UUID
    INTO named, distinct_named, target
    FROM unnest(selectors) AS s(selector)
    JOIN holdfast.tenants t ON t.slug = s.selector OR t.id::TEXT = s.selector;
    IF array_length(selectors, 1) > 1 AND (distinct_named <> 1 OR named < array_length(selectors, 1)) THEN
      RAISE EXCEPTION 'denied' USING ERRCODE = 'KH400', DETAIL = 'tenant_sources_disagree';
    END IF;
    IF named = 0 THEN
      RAISE EXCEPTION 'denied' USING ERRCODE = 'KH404', DETAIL = 'tenant_unknown';
    END IF;
  END IF;

  SELECT u.status, t.status, m.role, r.version,
    (SELECT count(*) FROM holdfast.role_grants g
      WHERE g.version = r.version AND g.role = m.role AND g.permission = ANY (required))
  INTO user_status, tenant_status, member_role, current_version, granted
  FROM holdfast.users u
  CROSS JOIN holdfast.current_roles r
  LEFT JOIN holdfast.tenants t ON t.id = target AND tenant_needed
  LEFT JOIN holdfast.memberships m ON m.tenant_id = t.id AND m.user_id = u.id
  WHERE u.id = c_user;

  IF user_status IS NULL OR user_status <> 'active' THEN
    RAISE EXCEPTION 'denied' USING ERRCODE = 'KH401', DETAIL = 'user_not_active';
  END IF;
  IF tenant_needed THEN
    IF target IS NULL THEN
      RAISE EXCEPTION 'denied' USING ERRCODE = 'KH400', DETAIL = 'tenant_not_selected';
    END IF;
    IF tenant_status IS NULL OR tenant_status <> 'active' THEN
      RAISE EXCEPTION 'denied' USING ERRCODE = 'KH404', DETAIL = 'tenant_not_active';
    END IF;
    IF member_role IS NULL THEN
      RAISE EXCEPTION 'denied' USING ERRCODE = 'KH404', DETAIL = 'not_a_member';
    END IF;
  END IF;
  IF granted < COALESCE(array_length(required, 1), 0) THEN
    RAISE EXCEPTION 'denied' USING ERRCODE = 'KH403', DETAIL = 'grant_missing';
  END IF;
  IF assurance_needed = 'aal2' AND assurance <> 'aal2' THEN
    RAISE EXCEPTION 'denied' USING ERRCODE = 'KH401', DETAIL = 'assurance_too_low';
  END IF;
  IF max_age_seconds > 0 AND authenticated_at + max_age_seconds * INTERVAL '1 second' <= now() THEN
    RAISE EXCEPTION 'denied' USING ERRCODE = 'KH401', DETAIL = 'authentication_too_old';
  END IF;

  user_id := c_user::TEXT;
  tenant_id := CASE WHEN tenant_needed THEN target::TEXT ELSE '' END;
  role := COALESCE(member_role, '');
  grants_version := current_version;
  credential_id := c_credential::TEXT;
  truth := user_id || '|' || tenant_id || '|' || role || '|' || grants_version;
  IF hint <> '' AND hint <> truth THEN
    RAISE EXCEPTION 'denied' USING ERRCODE = 'KH409', DETAIL = truth;
  END IF;
END
$$;
-- next as holdfast_enter
REVOKE ALL ON FUNCTION holdfast.enter FROM PUBLIC;
-- next as holdfast_enter
GRANT EXECUTE ON FUNCTION holdfast.enter TO holdfast_app, holdfast_identity;
-- next as holdfast_enter
-- *Enter* for whoever was here before: the same judgement in one look, for a session in its own tenant. Only what holds in
-- every point, and equals the hint, is let in by it; all else is judged, and named, by *enter*.
-- Returns user|tenant|role|version|session|assurance|authenticated at, seconds|touch due.
CREATE FUNCTION holdfast.reenter(
  credential BYTEA,
  required TEXT[],
  assurance_needed TEXT,
  max_age_seconds INT8,
  hint TEXT
) RETURNS TEXT LANGUAGE plpgsql STABLE SECURITY DEFINER {{pinned_search_path}} AS $$
DECLARE
  answer TEXT;
BEGIN
  SELECT hint || '|' || s.id::TEXT || '|' || s.assurance || '|' || extract(epoch FROM s.authenticated_at)::TEXT
    || '|' || (s.last_seen_at < now() - INTERVAL '1 minute')::TEXT
  INTO answer
  FROM holdfast.sessions s
  JOIN holdfast.users u ON u.id = s.user_id
  JOIN holdfast.tenants t ON t.id = s.tenant_id
  JOIN holdfast.memberships m ON m.tenant_id = s.tenant_id AND m.user_id = s.user_id
  CROSS JOIN holdfast.current_roles r
  JOIN holdfast.role_permissions p ON p.version = r.version AND p.role = m.role
  WHERE s.token_hash = credential
    AND s.revoked_at IS NULL
    AND s.expires_at > now()
    AND s.last_seen_at + s.idle_seconds * INTERVAL '1 second' > now()
    AND u.status = 'active'
    AND t.status = 'active'
    AND p.permissions @> required
    AND (assurance_needed = 'aal1' OR s.assurance = 'aal2')
    AND (max_age_seconds = 0 OR s.authenticated_at + max_age_seconds * INTERVAL '1 second' > now())
    AND hint = s.user_id::TEXT || '|' || s.tenant_id::TEXT || '|' || m.role || '|' || r.version;
  IF answer IS NULL THEN
    SELECT e.user_id || '|' || e.tenant_id || '|' || e.role || '|' || e.grants_version || '|' || e.credential_id
      || '|' || e.assurance || '|' || extract(epoch FROM e.authenticated_at)::TEXT || '|' || e.touch_due::TEXT
    INTO answer
    FROM holdfast.enter('session', credential, ARRAY[]::TEXT[], true, required, assurance_needed, max_age_seconds, hint) e;
  END IF;
  RETURN answer;
END
$$;
-- next as holdfast_enter
REVOKE ALL ON FUNCTION holdfast.reenter FROM PUBLIC;
-- next as holdfast_enter
GRANT EXECUTE ON FUNCTION holdfast.reenter TO holdfast_app, holdfast_identity;
-- next as holdfast_enter
-- Writes when a session was last seen, at most once a minute; knows it by its secret alone.
CREATE FUNCTION holdfast.touch_session(credential BYTEA) RETURNS BOOL
LANGUAGE plpgsql VOLATILE SECURITY DEFINER {{pinned_search_path}} AS $$
BEGIN
  UPDATE holdfast.sessions SET last_seen_at = now()
  WHERE token_hash = credential AND revoked_at IS NULL AND last_seen_at < now() - INTERVAL '1 minute'
    -- one that comes late must not revive what has ended meanwhile (CWE-613)
    AND expires_at > now() AND last_seen_at + idle_seconds * INTERVAL '1 second' > now();
  RETURN true;
END
$$;
-- next as holdfast_enter
REVOKE ALL ON FUNCTION holdfast.touch_session FROM PUBLIC;
-- next as holdfast_enter
GRANT EXECUTE ON FUNCTION holdfast.touch_session TO holdfast_app, holdfast_identity;
-- next as holdfast_enter
-- For routes that say `strict`: locks the rows that enter has judged, so that no change of them overlaps. NO KEY, so that
-- foreign keys onto them are not held up (CockroachDB takes it for FOR UPDATE).
CREATE FUNCTION holdfast.enter_strict(
  kind TEXT,
  credential BYTEA,
  selectors TEXT[],
  tenant_needed BOOL,
  required TEXT[],
  assurance_needed TEXT,
  max_age_seconds INT8,
  hint TEXT,
  OUT user_id TEXT,
  OUT tenant_id TEXT,
  OUT role TEXT,
  OUT grants_version TEXT,
  OUT credential_id TEXT,
  OUT assurance TEXT,
  OUT authenticated_at TIMESTAMPTZ,
  OUT touch_due BOOL
) LANGUAGE plpgsql VOLATILE SECURITY DEFINER {{pinned_search_path}} AS $$
DECLARE
  locked UUID;
  entered_user TEXT;
  entered_tenant TEXT;
BEGIN
  SELECT e.user_id, e.tenant_id, e.role, e.grants_version, e.credential_id, e.assurance, e.authenticated_at, e.touch_due
  INTO entered_user, entered_tenant, role, grants_version, credential_id, assurance, authenticated_at, touch_due
  FROM holdfast.enter(kind, credential, selectors, tenant_needed, required, assurance_needed, max_age_seconds, hint) e;
  SELECT s.id INTO locked FROM holdfast.sessions s WHERE s.token_hash = credential FOR NO KEY UPDATE;
  SELECT u.id INTO locked FROM holdfast.users u WHERE u.id = entered_user::UUID FOR NO KEY UPDATE;
  IF entered_tenant <> '' THEN
    SELECT t.id INTO locked FROM holdfast.tenants t WHERE t.id = entered_tenant::UUID FOR NO KEY UPDATE;
    SELECT m.user_id INTO locked FROM holdfast.memberships m
    WHERE m.tenant_id = entered_tenant::UUID AND m.user_id = entered_user::UUID FOR NO KEY UPDATE;
  END IF;
  user_id := entered_user;
  tenant_id := entered_tenant;
END
$$;
-- next as holdfast_enter
REVOKE ALL ON FUNCTION holdfast.enter_strict FROM PUBLIC;
-- next as holdfast_enter
GRANT EXECUTE ON FUNCTION holdfast.enter_strict TO holdfast_app, holdfast_identity;
-- next as holdfast_enter
-- Look-ups before there is a tenant, each by a single key.
CREATE FUNCTION holdfast.tenants_of_user(sought_user UUID)
RETURNS TABLE (id UUID, slug TEXT, name TEXT, role TEXT)
LANGUAGE sql STABLE SECURITY DEFINER {{pinned_search_path}} AS $$
  SELECT t.id, t.slug, t.name, m.role
  FROM holdfast.memberships m
  JOIN holdfast.tenants t ON t.id = m.tenant_id
  WHERE m.user_id = sought_user AND t.status = 'active'
  ORDER BY t.slug
$$;
-- next as holdfast_enter
REVOKE ALL ON FUNCTION holdfast.tenants_of_user FROM PUBLIC;
-- next as holdfast_enter
GRANT EXECUTE ON FUNCTION holdfast.tenants_of_user TO holdfast_identity;
-- next as holdfast_enter
CREATE FUNCTION holdfast.tenant_of_invitation(sought_hash BYTEA)
RETURNS UUID
LANGUAGE sql STABLE SECURITY DEFINER {{pinned_search_path}} AS $$
  SELECT i.tenant_id FROM holdfast.invitations i WHERE i.token_hash = sought_hash
$$;
-- next as holdfast_enter
REVOKE ALL ON FUNCTION holdfast.tenant_of_invitation FROM PUBLIC;
-- next as holdfast_enter
GRANT EXECUTE ON FUNCTION holdfast.tenant_of_invitation TO holdfast_identity;
-- next as holdfast_enter
CREATE FUNCTION holdfast.grants_of_version(sought_version TEXT)
RETURNS TABLE (role TEXT, permission TEXT, reach TEXT)
LANGUAGE sql STABLE SECURITY DEFINER {{pinned_search_path}} AS $$
  SELECT g.role, g.permission, g.reach FROM holdfast.role_grants g WHERE g.version = sought_version
$$;
-- next as holdfast_enter
REVOKE ALL ON FUNCTION holdfast.grants_of_version FROM PUBLIC;
-- next as holdfast_enter
GRANT EXECUTE ON FUNCTION holdfast.grants_of_version TO holdfast_app, holdfast_identity;
-- next
REVOKE CREATE ON SCHEMA holdfast FROM holdfast_enter;
