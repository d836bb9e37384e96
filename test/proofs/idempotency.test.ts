import { execFile } from 'node:child_process'
import { randomBytes, randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { defaultRoles } from '../../src/service/tenancy/manifest.ts'
import { createTestDatabase, type TestDatabase } from '../postgres.ts'
import { type ServeProcess, startServe } from '../serve-process.ts'
import { seedTwoTenants, type TwoTenants } from '../two-tenants.ts'
import { type Cut, startWireProxy, type WireProxy } from '../wire-proxy.ts'

/** Writes under random cuts; many more by `npm run long -- repeats`. */
const WRITES = Number(process.env['HOLDFAST_REPEATS'] ?? 50)
/** So many at a time. */
const LANES = 5

type Node = { readonly server: ServeProcess; readonly wire: WireProxy }
let database: TestDatabase
let tenants: TwoTenants
let nodes: [Node, Node]
let token: string

beforeAll(async () => {
  database = await createTestDatabase({ roleGrants: defaultRoles })
  tenants = await seedTwoTenants(database)
  const key = randomBytes(32).toString('base64url')
  const start = async (): Promise<Node> => {
    const wire = await startWireProxy(database.target('app'))
    const server = await startServe({
      DATABASE_URL: urlOf('app', wire.address.host, wire.address.port),
      HOLDFAST_IDENTITY_URL: urlOf('identity'),
      HOLDFAST_KEY: key,
      HOLDFAST_ORIGIN: 'http://localhost:7070',
    })
    return { server, wire }
  }
  nodes = await Promise.all([start(), start()])
  token = await tenants.session(tenants.acme.users.owner.id, tenants.acme.id)
})
afterAll(async () => {
  await Promise.all(nodes.map(({ server }) => server.stop()))
  await Promise.all(nodes.map(({ wire }) => wire.close()))
  await database.drop()
})

function urlOf(role: 'app' | 'identity', at?: string, port?: number): string {
  const target = database.target(role)
  const { user, password, database: name } = target
  const host = encodeURIComponent(at ?? target.host)
  return `postgresql://${user}:${encodeURIComponent(password)}@localhost:${port ?? target.port}/${name}?host=${host}`
}

type Answer = { readonly status: number; readonly text: string; readonly code: string; readonly isReplay: boolean }
async function patch(node: Node, path: string, body: object, key?: string): Promise<Answer> {
  const answer = await fetch(`${node.server.origin}/v1${path}`, {
    method: 'PATCH',
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      'if-match': '*',
      ...(key === undefined ? {} : { 'idempotency-key': key }),
    },
    body: JSON.stringify(body),
  })
  const text = await answer.text()
  const isReplay = answer.headers.get('idempotent-replayed') === 'true'
  return { status: answer.status, text, code: String((JSON.parse(text) as { code?: string }).code ?? ''), isReplay }
}

/** A team of revision 1: each change that is done adds one, so that a second one shows. */
async function team(): Promise<string> {
  const slug = `t-${randomUUID().slice(0, 13)}`
  await database.owner(
    'INSERT INTO tenancy.teams (tenant_id, slug, name, created_by, revision) VALUES ($1, $2, $2, $3, 1)',
    [tenants.acme.id, slug, tenants.acme.users.owner.id],
  )
  return slug
}
const timesDone = async (slug: string): Promise<number> =>
  Number((await database.owner('SELECT revision FROM tenancy.teams WHERE slug = $1', [slug]))[0]?.['revision']) - 1

describe('docs/idempotency.md', () => {
  it('ends as it says, pasted line by line', async () => {
    const page = readFileSync(new URL('../../docs/idempotency.md', import.meta.url), 'utf8')
    const [, part = ''] = /<!-- session -->([\s\S]*?)<!-- \/session -->/.exec(page) ?? []
    const script = [...part.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, block]) => block).join('')
    const { stdout } = await promisify(execFile)('bash', ['-c', script], {
      env: { PATH: process.env['PATH'], API: `${nodes[0].server.origin}/v1`, ANN: token },
    })
    const answers = stdout.trim().split('\n')
    expect(answers.map((text) => JSON.parse(text) as unknown)).toMatchObject([
      { slug: 'blue', name: 'Blue' },
      { slug: 'blue', name: 'Blue' },
      { status: 422, code: 'idempotency_key_reused' },
      { status: 400, code: 'idempotency_key_unsupported' },
    ])
    expect(answers[1]).toBe(answers[0])
  })
})

describe('what a key costs', () => {
  it('a write that was one round trip is two; a repeat is three; without the header nothing is added', async () => {
    const [node] = nodes
    const count = async (key?: string): Promise<{ trips: number; messages: string; answer: Answer }> => {
      node.wire.reset()
      const answer = await patch(node, '/me', { display_name: 'Ann' }, key)
      return { trips: node.wire.counts.roundTrips, messages: node.wire.counts.messages, answer }
    }
    // caller, roles and statements become known
    for (const key of [undefined, undefined, 'warm', 'warm', undefined]) await count(key)
    expect(await count()).toMatchObject({ trips: 1, messages: 'BEBES', answer: { status: 200 } })
    // BEGIN, enter, claim, UPDATE; keep, COMMIT
    expect(await count('k')).toMatchObject({ trips: 2, messages: 'BEBEBEBESBEBES', answer: { isReplay: false } })
    // BEGIN, enter, the claim that raises; ROLLBACK; enter, look-up
    expect(await count('k')).toMatchObject({ trips: 3, answer: { isReplay: true } })
    expect(await count()).toMatchObject({ trips: 1, messages: 'BEBES' })
  })
})

describe('a commit whose outcome nobody knows', () => {
  const cuts: [Cut, boolean][] = [
    ['before commit', false],
    ['after commit', true],
  ]
  it.each(cuts)('cut %s: the repeat is done or told, wherever it is sent', async (cut, wasDone) => {
    const [one, other] = nodes
    for (const again of [one, other]) {
      const slug = await team()
      // the caller is known, so that the first commit is the write's
      await patch(one, '/me', { display_name: 'Ann' })
      one.wire.cutNext(cut)
      const first = await patch(one, `/teams/${slug}`, { name: 'New' }, slug)
      expect(first).toMatchObject({ status: 503, code: 'outcome_unknown' })
      expect(one.wire.isArmed).toBe(false)
      expect(await timesDone(slug)).toBe(wasDone ? 1 : 0)
      expect(await patch(again, `/teams/${slug}`, { name: 'New' }, slug)).toMatchObject({
        status: 200,
        isReplay: wasDone,
      })
      expect(await timesDone(slug)).toBe(1)
    }
  })

  it('without a key the repeat is done twice: the test would see it', async () => {
    const [node] = nodes
    const slug = await team()
    await patch(node, '/me', { display_name: 'Ann' })
    node.wire.cutNext('after commit', 1)
    expect((await patch(node, `/teams/${slug}`, { name: 'New' })).status).toBe(200)
    expect((await patch(node, `/teams/${slug}`, { name: 'New' })).code).toBe('outcome_unknown')
    expect((await patch(node, `/teams/${slug}`, { name: 'New' })).status).toBe(200)
    expect(await timesDone(slug)).toBe(3)
  })
})

/** Numbers that a seed repeats (mulberry32). */
function dice(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

describe('two processes, one key a write, and connections that are cut', () => {
  beforeEach(() => database.owner('DELETE FROM holdfast.idempotency_keys'))

  it(`${WRITES} writes: none is done twice, none that was acknowledged is lost, and all hear the same`, async () => {
    const seed = Number(process.env['HOLDFAST_SEED'] ?? Date.now() % 1_000_000)
    const random = dice(seed)
    const pick = (): Node => nodes[random() < 0.5 ? 0 : 1]
    const seen: Record<string, number> = {}
    const told = (answer: Answer): Answer => {
      const name = answer.isReplay ? 'replay' : answer.code === '' ? String(answer.status) : answer.code
      seen[name] = (seen[name] ?? 0) + 1
      return answer
    }

    /** One client: asks, sometimes at both processes at once, and comes again until it knows – or gives up at once. */
    async function write(): Promise<void> {
      const slug = await team()
      const isPatient = random() < 0.9
      const heard: Answer[] = []
      for (let tries = 0; tries < 40; tries++) {
        const fate = random()
        const node = pick()
        if (fate < 0.25) node.wire.cutNext('before commit')
        else if (fate < 0.5) node.wire.cutNext('after commit')
        else if (fate < 0.6) setTimeout(() => node.wire.cutAll(), random() * 10)
        const asked = [node, ...(random() < 0.4 ? nodes : [])]
        const answers = await Promise.all(asked.map((each) => patch(each, `/teams/${slug}`, { name: 'New' }, slug)))
        heard.push(...answers.map(told))
        if (!isPatient || heard.some(({ status }) => status === 200)) break
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
      const good = heard.filter(({ status }) => status === 200)
      const wrong = heard.filter(({ status }) => status !== 200 && status !== 503 && status !== 409)
      const done = await timesDone(slug)
      const what = { seed, slug, heard: heard.map(({ status, code }) => `${status} ${code}`) }
      if (wrong.length > 0) console.log(nodes.map(({ server }) => server.output().slice(-3000)).join('\n'))
      expect({ ...what, wrong }).toEqual({ ...what, wrong: [] })
      if (isPatient) expect({ ...what, good: good.length > 0 }).toEqual({ ...what, good: true })
      expect({ ...what, done }).toEqual({ ...what, done: good.length > 0 ? 1 : expect.toBeOneOf([0, 1]) })
      expect(new Set(good.map(({ text }) => text)).size).toBeLessThanOrEqual(1)
      // a last look, by whoever comes late
      const late = await settled(() => patch(pick(), `/teams/${slug}`, { name: 'New' }, slug))
      expect({ ...what, late: late.status, done: await timesDone(slug) }).toEqual({ ...what, late: 200, done: 1 })
      if (good[0] !== undefined) expect(late.text).toBe(good[0].text)
    }

    let left = WRITES
    const lane = async (): Promise<void> => {
      while (left-- > 0) await write()
    }
    await Promise.all(Array.from({ length: LANES }, lane))
    // it was as rough as it was meant to be
    expect(Object.keys(seen)).toEqual(expect.arrayContaining(['200', 'replay', 'outcome_unknown']))
    const [rows] = await database.owner(
      'SELECT count(*)::INT4 AS n, count(status)::INT4 AS told FROM holdfast.idempotency_keys',
    )
    expect(rows).toEqual({ n: WRITES, told: WRITES })
  })

  /** Cuts that others have armed hit late comers, too. */
  async function settled(send: () => Promise<Answer>): Promise<Answer> {
    for (let tries = 0; ; tries++) {
      const answer = await send()
      if ((answer.status !== 503 && answer.status !== 409) || tries > 40) return answer
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
})
