import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createPool, type Pool } from '../../../src/core/database/pool.ts'
import { StatementError } from '../../../src/core/database/errors.ts'
import { newSessionToken } from '../../../src/core/guard/credential.ts'
import { readReentered } from '../../../src/core/guard/reenter.ts'
import { defaultRoles } from '../../../src/service/tenancy/manifest.ts'
import { createTestDatabase, type TestDatabase } from '../../postgres.ts'
import { seedTwoTenants, type TwoTenants } from '../../two-tenants.ts'

let database: TestDatabase
let tenants: TwoTenants
let pool: Pool
beforeAll(async () => {
  database = await createTestDatabase({ roleGrants: defaultRoles })
  tenants = await seedTwoTenants(database)
  pool = await createPool({ connection: database.target('app'), size: 1, applicationName: 'app' })
})
afterAll(async () => {
  await pool.close()
  await database.drop()
})

type Question = { hash: Buffer; required: string[]; assurance: 'aal1' | 'aal2'; maxAge: number; hint: string }

const TRUTH = `e.user_id || '|' || e.tenant_id || '|' || e.role || '|' || e.grants_version`
const ENTER = (parts: string) =>
  `SELECT ${parts} AS answer FROM holdfast.enter('session', $1::BYTEA, ARRAY[]::TEXT[], true, $2::TEXT[], $3::TEXT, $4::INT8, $5::TEXT) e`
const FULL = `${TRUTH} || '|' || e.credential_id || '|' || e.assurance || '|' || extract(epoch FROM e.authenticated_at)::TEXT || '|' || e.touch_due::TEXT`

/** The answer, or the SQLSTATE and the reason. */
async function ask(text: string, { hash, required, assurance, maxAge, hint }: Question): Promise<string> {
  try {
    const parts = text === REENTER ? hint.split('|') : [hint]
    const values = [hash, required, assurance, String(maxAge), ...parts]
    const { rows } = await pool.transaction((transaction) => transaction.query({ name: '', text }, values))
    return String(rows[0]?.['answer'])
  } catch (error) {
    if (error instanceof StatementError) return `${error.sqlstate} ${error.detail}`
    throw error
  }
}
const REENTER =
  'SELECT holdfast.reenter($1::BYTEA, $2::TEXT[], $3::TEXT, $4::INT8, $5::UUID, $6::UUID, $7::TEXT, $8::TEXT) AS answer'

/** What happens to a session that was just admitted; `$1` its hash, `$2` the user, `$3` the tenant, `$4` is true. */
const events: { name: string; sql?: string; question?: Partial<Question>; expected: string }[] = [
  { name: 'nothing', expected: 'admitted' },
  {
    name: 'a permission that the role lacks',
    question: { required: ['tenant:delete'] },
    expected: 'KH403 grant_missing',
  },
  {
    name: 'two permissions, one lacking',
    question: { required: ['team:read', 'tenant:delete'] },
    expected: 'KH403 grant_missing',
  },
  { name: 'two permissions that it has', question: { required: ['team:read', 'profile:read'] }, expected: 'admitted' },
  { name: 'no permission asked for', question: { required: [] }, expected: 'admitted' },
  { name: 'a second factor asked for', question: { assurance: 'aal2' }, expected: 'KH401 assurance_too_low' },
  {
    name: 'a second factor given',
    sql: `UPDATE holdfast.sessions SET assurance = 'aal2' WHERE token_hash = $1`,
    question: { assurance: 'aal2' },
    expected: 'admitted',
  },
  { name: 'a fresh sign-in asked for', question: { maxAge: 60 }, expected: 'admitted' },
  {
    name: 'an old sign-in',
    sql: `UPDATE holdfast.sessions SET authenticated_at = now() - INTERVAL '61 seconds' WHERE token_hash = $1`,
    question: { maxAge: 60 },
    expected: 'KH401 authentication_too_old',
  },
  {
    name: 'last seen two minutes ago',
    sql: `UPDATE holdfast.sessions SET last_seen_at = now() - INTERVAL '2 minutes' WHERE token_hash = $1`,
    expected: 'admitted',
  },
  {
    name: 'signed out',
    sql: `UPDATE holdfast.sessions SET revoked_at = now() WHERE token_hash = $1`,
    expected: 'KH401 session_revoked',
  },
  {
    name: 'expired',
    sql: `UPDATE holdfast.sessions SET expires_at = now() WHERE token_hash = $1`,
    expected: 'KH401 session_expired',
  },
  {
    name: 'idle',
    sql: `UPDATE holdfast.sessions SET last_seen_at = now() - idle_seconds * INTERVAL '1 second' WHERE token_hash = $1`,
    expected: 'KH401 session_idle',
  },
  { name: 'deleted', sql: `DELETE FROM holdfast.sessions WHERE token_hash = $1`, expected: 'KH401 session_unknown' },
  {
    name: 'the user disabled',
    sql: `UPDATE holdfast.users SET status = 'disabled' WHERE id = $2`,
    expected: 'KH401 user_not_active',
  },
  {
    name: 'the tenant suspended',
    sql: `UPDATE holdfast.tenants SET status = 'suspended' WHERE id = $3`,
    expected: 'KH404 tenant_not_active',
  },
  {
    name: 'removed',
    sql: `DELETE FROM holdfast.memberships WHERE user_id = $2 AND tenant_id = $3`,
    expected: 'KH404 not_a_member',
  },
  {
    name: 'another role',
    sql: `UPDATE holdfast.memberships SET role = 'viewer' WHERE user_id = $2 AND tenant_id = $3`,
    expected: 'KH409',
  },
  {
    name: 'a role that is nowhere defined',
    sql: `UPDATE holdfast.memberships SET role = 'ghost' WHERE user_id = $2 AND tenant_id = $3`,
    expected: 'KH403 grant_missing',
  },
  {
    name: 'another tenant selected',
    sql: `UPDATE holdfast.sessions SET tenant_id = NULL WHERE token_hash = $1`,
    expected: 'KH400 tenant_not_selected',
  },
  {
    name: 'another definition of the roles',
    sql: `WITH v AS (INSERT INTO holdfast.role_versions (version) VALUES ('next') RETURNING version) INSERT INTO holdfast.role_grants SELECT 'next', 'member', 'team:read', 'tenant'`,
    expected: 'KH409',
  },
  {
    name: 'the permission taken from the role',
    sql: `WITH v AS (INSERT INTO holdfast.role_versions (version) VALUES ('next') RETURNING version) INSERT INTO holdfast.role_grants SELECT 'next', 'member', 'team:create', 'tenant'`,
    expected: 'KH403 grant_missing',
  },
  { name: "a hint of another's", question: { hint: 'another' }, expected: 'KH409' },
  { name: "a hint of another's tenant", question: { hint: 'tenant' }, expected: 'KH409' },
  { name: 'a hint of another version', question: { hint: 'version' }, expected: 'KH409' },
  { name: 'a hint of another role', question: { hint: 'owner' }, expected: 'KH409' },
]

describe('reenter says what enter says', () => {
  it.each(events)('after: $name', async ({ name, sql, question = {}, expected }) => {
    const { acme } = tenants
    const { hash } = newSessionToken()
    const user = acme.users.member.id
    await database.owner(
      `INSERT INTO holdfast.sessions (token_hash, user_id, tenant_id, idle_seconds, expires_at) VALUES ($1, $2, $3, 3600, now() + INTERVAL '1 day')`,
      [hash, user, acme.id],
    )
    const first: Question = { hash, required: ['team:read'], assurance: 'aal1', maxAge: 0, hint: '' }
    const truth = await ask(ENTER(TRUTH), first)
    const { globex } = tenants
    const hints: Record<string, string> = {
      owner: truth.replace('|member|', '|owner|'),
      another: truth.replace(user, globex.users.member.id),
      tenant: truth.replace(acme.id, globex.id),
      version: truth.replace(/[^|]*$/, 'another'),
    }
    const hint = question.hint === undefined ? truth : (hints[question.hint] ?? '')
    const asked: Question = { ...first, ...question, hint }
    const restore: [string, unknown[]][] = []
    try {
      if (sql?.includes("'next'") === true) {
        await database.owner(sql)
        await database.owner(
          `INSERT INTO holdfast.role_permissions (version, role, permissions) SELECT version, role, array_agg(permission) FROM holdfast.role_grants WHERE version = 'next' GROUP BY 1, 2`,
        )
        const [{ version } = {}] = await database.owner('SELECT version FROM holdfast.current_roles')
        await database.owner(`UPDATE holdfast.current_roles SET version = 'next'`)
        restore.push(
          ['UPDATE holdfast.current_roles SET version = $1', [version]],
          [`DELETE FROM holdfast.role_permissions WHERE version = 'next'`, []],
          [`DELETE FROM holdfast.role_grants WHERE version = 'next'`, []],
          [`DELETE FROM holdfast.role_versions WHERE version = 'next'`, []],
        )
      } else {
        if (sql !== undefined) {
          const wanted = [...sql.matchAll(/\$(\d)/g)].map(([, digit]) => Number(digit))
          const values = [hash, user, acme.id]
          // each statement names some of the three
          const used = [...new Set(wanted)].sort((a, b) => a - b)
          const text = used.reduce((all, number, index) => all.replaceAll(`$${number}`, `$${index + 1}`), sql)
          await database.owner(
            text,
            used.map((number) => values[number - 1]),
          )
        }
      }
      const again = await ask(REENTER, asked)
      // the same by the judge alone
      expect(again).toBe(await ask(ENTER(FULL), asked))
      if (expected === 'admitted') {
        expect(again.startsWith(`${truth}|`), name).toBe(true)
        expect(readReentered(again)).toMatchObject({ userId: user, tenantId: acme.id, role: 'member' })
      } else expect(again).toMatch(new RegExp(`^${expected}`))
    } finally {
      for (const [text, values] of restore) await database.owner(text, values)
      await database.owner(`UPDATE holdfast.users SET status = 'active' WHERE id = $1`, [user])
      await database.owner(`UPDATE holdfast.tenants SET status = 'active' WHERE id = $1`, [acme.id])
      await database.owner(
        `INSERT INTO holdfast.memberships (tenant_id, user_id, role) VALUES ($1, $2, 'member') ON CONFLICT (tenant_id, user_id) DO UPDATE SET role = 'member'`,
        [acme.id, user],
      )
    }
  })

  it('knows no session by another secret', async () => {
    const { hash } = newSessionToken()
    const asked: Question = {
      hash,
      required: [],
      assurance: 'aal1',
      maxAge: 0,
      hint: `${randomUUID()}|${randomUUID()}|c|d`,
    }
    expect(await ask(REENTER, asked)).toBe('KH401 session_unknown')
  })

  it('looks the permissions up that the definitions grant', async () => {
    const rows = await database.owner(
      `SELECT g.version, g.role, array_agg(g.permission ORDER BY g.permission) AS permissions FROM holdfast.role_grants g GROUP BY 1, 2 ORDER BY 1, 2`,
    )
    expect(rows.length).toBeGreaterThan(3)
    expect(
      await database.owner(
        `SELECT p.version, p.role, ARRAY(SELECT x FROM unnest(p.permissions) x ORDER BY x) AS permissions FROM holdfast.role_permissions p ORDER BY 1, 2`,
      ),
    ).toEqual(rows)
  })
})
