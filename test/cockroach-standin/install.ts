import type { ConnectionAddress } from '../../src/core/database/connection-target.ts'
import { connect } from '../backends.ts'

/** SQLSTATE of the notice by which `standin.set_config` tells the proxy of a session's setting; callers never see it. */
export const noticeState = 'SI001'

/**
 * `standin.explicit` is set by the proxy after each BEGIN and lives as long as the transaction: outside, a local setting
 * does nothing but warn. A setting of the session is told to the proxy, which makes it again after a ROLLBACK.
 */
const statements = [
  'CREATE SCHEMA standin',
  'GRANT USAGE ON SCHEMA standin TO PUBLIC',
  `CREATE FUNCTION standin.version() RETURNS TEXT LANGUAGE sql STABLE AS $$ SELECT pg_catalog.current_setting('standin.version', true) $$`,
  `CREATE FUNCTION standin.set_config(name TEXT, value TEXT, is_local BOOL) RETURNS TEXT LANGUAGE plpgsql AS $$
BEGIN
  IF name IN ('cpu_operator_cost', 'client_connection_check_interval') THEN
    RAISE EXCEPTION USING ERRCODE = '42704', MESSAGE = 'unrecognized configuration parameter';
  END IF;
  IF is_local AND pg_catalog.current_setting('standin.explicit', true) IS DISTINCT FROM 'on' THEN
    RAISE WARNING USING MESSAGE = 'SET LOCAL can only be used in transaction blocks', ERRCODE = '25P01';
    RETURN pg_catalog.current_setting(name, true);
  END IF;
  IF NOT is_local THEN
    RAISE NOTICE USING ERRCODE = '${noticeState}', MESSAGE = name, DETAIL = value;
  END IF;
  RETURN pg_catalog.set_config(name, value, is_local);
END $$`,
  'GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA standin TO PUBLIC',
]

/** Makes in one database what the stand-in's answers call. @param superuser - directly, not through the stand-in */
export async function installStandin(superuser: ConnectionAddress): Promise<void> {
  const client = await connect(superuser)
  try {
    for (const statement of statements) await client.query(statement)
  } finally {
    await client.end()
  }
}
