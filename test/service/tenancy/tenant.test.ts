import { afterAll, beforeAll, expect, test } from 'vitest'
import { createTenant, listTenants } from '../../../src/service/tenancy/tenant.ts'
import { openRoom, type Room } from '../room.ts'

let room: Room
let ada: string

beforeAll(async () => {
  room = await openRoom()
  ada = await room.account('ada@example.com')
})
afterAll(() => room.close())

const found = (slug: string, name = 'Acme', userId = ada) =>
  room.as({ userId }, (unit) => createTenant(unit, room, { slug, name }))

test('who founds a tenant is its owner, with a profile', async () => {
  const tenant = await found('acme', ' Acme, Inc. ')
  expect(tenant).toEqual({ id: expect.any(String), slug: 'acme', name: 'Acme, Inc.', role: 'owner' })
  expect(await room.as({ userId: ada }, listTenants)).toEqual([tenant])
  const profiles = await room.database.owner('SELECT tenant_id, user_id, email FROM tenancy.profiles')
  expect(profiles).toEqual([{ tenant_id: tenant.id, user_id: ada, email: 'ada@example.com' }])
})

test('a slug is unique, also among thirty founders at once, and a refused one leaves nothing', async () => {
  const results = await Promise.allSettled(Array.from({ length: 30 }, () => found('race')))
  expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
  for (const result of results) {
    if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'slug_taken', status: 409 })
  }
  expect(await room.database.owner(`SELECT 1 FROM holdfast.tenants WHERE slug = 'race'`)).toHaveLength(1)
  expect(await room.database.owner('SELECT 1 FROM holdfast.memberships')).toHaveLength(2)
})

test.each(['a', 'a1', 'a-b', '0', 'a'.repeat(32)])('%j is a slug', async (slug) => {
  expect(await found(slug)).toMatchObject({ slug })
})

test.each(['', 'A', 'a_b', 'a.b', '-a', 'a-', 'ä', 'a b', 'a'.repeat(33), '00000000-0000-4000-8000-000000000000'])(
  '%j is no slug',
  async (slug) => {
    await expect(found(slug)).rejects.toMatchObject({ code: 'slug_invalid', status: 422 })
  },
)

test('not where sign-up is closed', async () => {
  const closed = { keys: room.keys, settings: { ...room.settings, signUpOpen: false } }
  const founding = room.as({ userId: ada }, (unit) => createTenant(unit, closed, { slug: 'closed', name: 'Closed' }))
  await expect(founding).rejects.toMatchObject({ code: 'sign_up_closed', status: 403 })
})

test('not by a service account', async () => {
  const [row] = await room.database.owner(
    `INSERT INTO holdfast.users (kind, display_name) VALUES ('service', 'bot') RETURNING id`,
  )
  await expect(found('bots', 'Bots', String(row?.id))).rejects.toMatchObject({ code: 'person_required' })
})

test('an account founds ten tenants, then has to wait', async () => {
  const eve = await room.account('eve@example.com')
  for (let index = 0; index < 10; index++) await found(`eve-${index}`, 'Eve', eve)
  await expect(found('eve-10', 'Eve', eve)).rejects.toMatchObject({ code: 'throttled' })
})
