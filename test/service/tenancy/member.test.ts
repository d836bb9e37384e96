import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parseGrants } from '../../../src/core/scope/grants.ts'
import { changeMember, listMembers, readMember, removeMember } from '../../../src/service/tenancy/member.ts'
import { listInvitations, withdrawInvitation } from '../../../src/service/tenancy/pending-invitation.ts'
import { openRoom, type Room } from '../room.ts'

/** What a role of an operator's own may say: nothing but one's own. */
const OWN = [
  'member:read@own',
  'member:update@own',
  'member:delete@own',
  'invitation:read@own',
  'invitation:delete@own',
]
const page = { after: '00000000-0000-0000-0000-000000000000', size: 10 }
let room: Room
let acme: string
let ada: string
let bob: string

beforeAll(async () => {
  room = await openRoom()
  acme = await room.tenant('acme')
  ada = await room.account('ada@example.com')
  bob = await room.account('bob@example.com')
  await room.join(acme, ada, 'leaver')
  await room.join(acme, bob, 'leaver')
})
afterAll(() => room.close())

const asAda = () => ({ userId: ada, tenantId: acme, grants: parseGrants(OWN) })

async function invited(by: string): Promise<string> {
  const id = randomUUID()
  await room.database.owner(
    `INSERT INTO holdfast.invitations (tenant_id, id, email, role, token_hash, invited_by, expires_at)
     VALUES ($1, $2, $3, 'viewer', $4, $5, now() + INTERVAL '1 hour')`,
    [acme, id, `${id}@example.com`, Buffer.from(id), by],
  )
  return id
}

test('reach own: of invitations, those that one has sent', async () => {
  const [mine, theirs] = [await invited(ada), await invited(bob)]
  const listed = await room.as(asAda(), (unit) => listInvitations(unit, { ...page, status: '' }))
  expect(listed.map(({ id }) => id)).toEqual([mine])
  const withdraw = (id: string) => room.as(asAda(), (unit) => withdrawInvitation(unit, id))
  await expect(withdraw(theirs)).rejects.toMatchObject({ code: 'invitation_not_found', status: 404 })
  await withdraw(mine)
  const left = await room.database.owner('SELECT id FROM holdfast.invitations')
  expect(left.map(({ id }) => id)).toEqual([theirs])
})

test('reach own: of members, oneself; anybody else is not there', async () => {
  const listed = await room.as(asAda(), (unit) => listMembers(unit, { ...page, role: '' }))
  expect(listed.map(({ userId }) => userId)).toEqual([ada])
  const unknown = { code: 'member_not_found', status: 404 }
  await expect(room.as(asAda(), (unit) => readMember(unit, bob))).rejects.toMatchObject(unknown)
  const change = { userId: bob, role: 'viewer', expected: 'any' } as const
  await expect(room.as(asAda(), (unit) => changeMember(unit, change))).rejects.toMatchObject(unknown)
  await expect(room.as(asAda(), (unit) => removeMember(unit, change))).rejects.toMatchObject(unknown)
  expect(await room.as(asAda(), (unit) => removeMember(unit, { userId: ada, expected: 'any' }))).toBe(true)
  const left = await room.database.owner('SELECT user_id FROM holdfast.memberships')
  expect(left).toEqual([{ user_id: bob }])
})
