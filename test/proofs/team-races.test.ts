import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type House, openHouse } from './house.ts'

/** Requests at once: more than connections, so that some wait and all collide. */
const CROWD = 8
/** How often each race is run: who comes first differs. */
const ROUNDS = 5

let house: House
let token: string

beforeAll(async () => {
  house = await openHouse()
  token = await house.tenants.session(house.tenants.acme.users.owner.id, house.tenants.acme.id)
})
afterAll(() => house.close())

type Outcome = { readonly status: number; readonly code: string | undefined }

async function send(method: string, path: string, body?: unknown, tag?: string): Promise<Outcome> {
  const answer = await fetch(`${house.origin}/v1${path}`, {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(tag === undefined ? {} : { 'if-match': tag }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await answer.text()
  return { status: answer.status, code: text === '' ? undefined : (JSON.parse(text) as { code?: string }).code }
}

async function found(): Promise<string> {
  const slug = `r-${randomUUID().slice(0, 12)}`
  expect((await send('POST', '/teams', { slug, name: 'Racing' })).status).toBe(201)
  // revisions begin anywhere
  await house.database.owner('UPDATE tenancy.teams SET revision = 1 WHERE slug = $1', [slug])
  return slug
}

const count = (outcomes: readonly Outcome[], status: number, code?: string): number =>
  outcomes.filter((one) => one.status === status && (code === undefined || one.code === code)).length

/** Work that was given up after many collisions, and left nothing, is allowed besides what is named. */
function onlyThese(outcomes: readonly Outcome[], ...allowed: string[]): void {
  const seen = outcomes.map(({ status, code }) => (code === undefined ? `${status}` : `${status} ${code}`))
  expect(seen.filter((one) => ![...allowed, '409 serialization_failure'].includes(one))).toEqual([])
}

const rowsOf = (slug: string): Promise<Record<string, unknown>[]> =>
  house.database.owner('SELECT id, name, revision FROM tenancy.teams WHERE slug = $1 AND tenant_id = $2', [
    slug,
    house.tenants.acme.id,
  ])

it.each([...Array(ROUNDS).keys()])('one of many renames to a slug wins, round %i', async () => {
  const slugs = await Promise.all([...Array(CROWD).keys()].map(found))
  const wanted = `w-${randomUUID().slice(0, 12)}`
  const rename = (slug: string): Promise<Outcome> => send('PATCH', `/teams/${slug}`, { slug: wanted }, '*')
  const outcomes = await Promise.all(slugs.map(rename))
  onlyThese(outcomes, '200', '409 slug_taken')
  expect(count(outcomes, 200)).toBe(1)
  expect(await rowsOf(wanted)).toHaveLength(1)
  const losers = slugs.filter((_, index) => outcomes[index]?.status !== 200)
  for (const slug of losers) expect(await rowsOf(slug)).toMatchObject([{ revision: '1' }])
  // now that it is taken, nobody
  const again = await Promise.all(losers.map(rename))
  onlyThese(again, '409 slug_taken')
})

it.each([...Array(ROUNDS).keys()])('one of many changes on the same version wins, round %i', async () => {
  const slug = await found()
  const outcomes = await Promise.all(
    [...Array(CROWD).keys()].map((index) => send('PATCH', `/teams/${slug}`, { name: `Name ${index}` }, '"1"')),
  )
  onlyThese(outcomes, '200', '412 precondition_failed')
  expect(count(outcomes, 200)).toBe(1)
  const winner = outcomes.findIndex(({ status }) => status === 200)
  expect(await rowsOf(slug)).toMatchObject([{ name: `Name ${winner}`, revision: '2' }])
})

it.each([...Array(ROUNDS).keys()])('of changes without a version none is lost, round %i', async () => {
  const slug = await found()
  const outcomes = await Promise.all(
    [...Array(CROWD).keys()].map((index) => send('PATCH', `/teams/${slug}`, { name: `Name ${index}` }, '*')),
  )
  onlyThese(outcomes, '200')
  expect(await rowsOf(slug)).toMatchObject([{ revision: String(1 + count(outcomes, 200)) }])
})

it.each([...Array(ROUNDS).keys()])('a team that is dissolved while members are added is gone, round %i', async () => {
  const slug = await found()
  const [team] = await rowsOf(slug)
  const { admin, member, viewer, service } = house.tenants.acme.users
  const add = ({ id }: { id: string }): Promise<Outcome> =>
    send('PUT', `/teams/${slug}/members/${id}`, { role: 'member' })
  const outcomes = await Promise.all([
    add(admin),
    add(member),
    send('DELETE', `/teams/${slug}`),
    add(viewer),
    add(service),
    send('DELETE', `/teams/${slug}`),
  ])
  const removals = [outcomes[2], outcomes[5]].filter((one) => one !== undefined)
  onlyThese(removals, '204', '404 not_found')
  onlyThese(
    outcomes.filter((one) => !removals.includes(one)),
    '201',
    '404 not_found',
  )
  expect(count(removals, 204)).toBe(1)
  expect(await rowsOf(slug)).toEqual([])
  expect(await house.database.owner('SELECT 1 FROM tenancy.team_members WHERE team_id = $1', [team?.['id']])).toEqual(
    [],
  )
})

it.each([...Array(ROUNDS).keys()])('adding and removing one member add up, round %i', async () => {
  const slug = await found()
  const [team] = await rowsOf(slug)
  const path = `/teams/${slug}/members/${house.tenants.acme.users.member.id}`
  const outcomes = await Promise.all(
    [...Array(CROWD).keys()].map((index) =>
      index % 2 === 0 ? send('PUT', path, { role: 'member' }) : send('DELETE', path),
    ),
  )
  onlyThese(outcomes, '200', '201', '204', '404 not_found')
  const rows = await house.database.owner('SELECT 1 FROM tenancy.team_members WHERE team_id = $1 AND user_id = $2', [
    team?.['id'],
    house.tenants.acme.users.member.id,
  ])
  // who was added and not removed is there: any serial order gives this sum
  expect(count(outcomes, 201) - count(outcomes, 204)).toBe(rows.length)
})
