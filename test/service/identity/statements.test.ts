import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { statements } from '../../../src/service/identity/statements.ts'
import { connect } from '../../backends.ts'
import { createTestDatabase, type TestDatabase } from '../../postgres.ts'

const list = Object.entries(statements)
let database: TestDatabase
let identity: pg.Client

beforeAll(async () => {
  database = await createTestDatabase()
  identity = await connect(database.target('identity'))
  await identity.query(`SET search_path = ''`)
})
afterAll(async () => {
  await identity.end()
  await database.drop()
})

test('the list is long enough to be the list, and each name stands for one text', () => {
  expect(list.length).toBeGreaterThan(40)
  expect(new Set(list.map(([, { name }]) => name)).size).toBe(list.length)
  for (const [key, { name }] of list) expect(name).toBe(key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`))
})

describe.each(list)('%s', (key, { name, text }) => {
  test('says what both databases understand', () => {
    const parameters = text.match(/\$\d+/g) ?? []
    expect(text.match(/\$\d+::[A-Z0-9]+/g) ?? [], 'every parameter is cast').toHaveLength(parameters.length)
    expect(text).not.toMatch(
      /SELECT \*|RETURNING \*|;|--|\bFOR (UPDATE|SHARE)\b|advisory|pg_sleep|\bDO \$|EXECUTE|LISTEN/i,
    )
    const relations = [...text.matchAll(/\b(?:FROM|JOIN|INTO|(?<!DO )UPDATE)\s+([a-z_."]+)/g)]
      .filter(({ index }) => !text.slice(0, index).endsWith('extract(epoch '))
      .map(([, relation]) => relation)
    for (const relation of relations) expect(relation).toMatch(/^(holdfast|tenancy)\./)
  })

  test('is keyed', () => {
    // of all, by their time; and how many there are, and nothing of them
    if (['sweepThrottle', 'sweepTokens', 'sweepSessions', 'outboxDue', 'outboxWaiting'].includes(key)) return
    expect(text).toMatch(/\$1::/)
    if (/^(UPDATE|DELETE)/.test(text)) expect(text).toMatch(/WHERE [a-z_. ]*\w+ = \$\d/)
  })

  test('the identity role may run it', async () => {
    await identity.query(`PREPARE ${name} AS ${text}`)
  })
})

test('a single-use secret is consumed in the statement that judges it', () => {
  for (const { text } of [statements.tokenConsume, statements.invitationConsume]) {
    expect(text).toMatch(/^UPDATE .* SET consumed_at = now\(\)/)
    expect(text.replaceAll(/\s+/g, ' ')).toContain('consumed_at IS NULL AND expires_at > now() RETURNING')
  }
})

test('no row of a tenant is seen or written before the tenant was entered', async () => {
  const tenant = '6d3a1a52-59a8-4c6f-9a7a-1f1f0c1f0a01'
  const user = '6d3a1a52-59a8-4c6f-9a7a-1f1f0c1f0a02'
  await database.owner(`INSERT INTO holdfast.tenants (id, slug, name) VALUES ($1, 'acme', 'Acme')`, [tenant])
  await database.owner(`INSERT INTO holdfast.users (id, email, display_name) VALUES ($1, 'a@example.com', 'A')`, [user])
  await database.owner(`INSERT INTO holdfast.memberships (tenant_id, user_id, role) VALUES ($1, $2, 'owner')`, [
    tenant,
    user,
  ])
  const { rows } = await identity.query(statements.memberByEmail.text, [tenant, 'a@example.com'])
  expect(rows).toEqual([])
  const other = '6d3a1a52-59a8-4c6f-9a7a-1f1f0c1f0a03'
  await expect(identity.query(statements.membershipAdd.text, [tenant, other, 'owner'])).rejects.toMatchObject({
    code: '42501',
  })
  await expect(identity.query(statements.profileAdd.text, [tenant, user, 'a', 'A'])).rejects.toMatchObject({
    code: '42501',
  })
})

test('the identity role reads no journal and grants itself nothing', async () => {
  for (const sql of [
    'SELECT 1 FROM holdfast.journal',
    'DELETE FROM holdfast.journal',
    'DELETE FROM holdfast.tenants',
    `INSERT INTO holdfast.role_grants (version, role, permission, reach) VALUES ('x', 'member', 'tenant:delete', 'tenant')`,
    `UPDATE holdfast.current_roles SET version = 'x'`,
    'SELECT 1 FROM tenancy.teams',
    'SET ROLE holdfast_owner',
  ]) {
    await expect(identity.query(sql), sql).rejects.toMatchObject({ code: '42501' })
  }
})
