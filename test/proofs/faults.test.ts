import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { TestDatabase } from '../postgres.ts'
import { freePort } from '../serve-process.ts'
import { startTcpProxy, type TcpProxy } from '../tcp-proxy.ts'
import { type SeededTenant, seedTwoTenants } from '../two-tenants.ts'
import { type Cluster, createCluster } from './faults-cluster.ts'

/** Writes in `npm test`; the long run asks for 10,000, and for a fault with every 40 of them. */
const WRITES = Number(process.env['HOLDFAST_FAULT_WRITES'] ?? 200)
const WRITES_PER_FAULT = 40
const SEED = Number(process.env['HOLDFAST_FAULT_SEED'] ?? 5)
const WRITERS = 8
/** Both nodes are ready and write again within so many milliseconds after a fault is over. */
const RECOVERY_MS = 10_000
/** Some rows fill a page, so that the table's file has to grow. */
const PADDING = 'x'.repeat(1_500)

const main = fileURLToPath(new URL('./faults-node.ts', import.meta.url))
const pause = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds))

type Report = { looks: number; leftBehind: number; stats: { retries: Record<string, number>; ambiguous: number } }
type Node = { readonly origin: string; stop(): Promise<Report> }
type Caller = { readonly tenant: SeededTenant; readonly token: string }

let cluster: Cluster
let proxies: TcpProxy[] = []
let nodes: Node[] = []
let callers: Caller[] = []

beforeAll(async () => {
  cluster = await createCluster()
  proxies = await Promise.all([startTcpProxy(cluster.socket), startTcpProxy(cluster.socket)])
  const tenants = await seedTwoTenants({ owner: (sql, values) => cluster.owner(sql, values) } as TestDatabase)
  for (const tenant of [tenants.acme, tenants.globex]) {
    await cluster.owner('INSERT INTO app.canaries (tenant_id, text) VALUES ($1, $2)', [tenant.id, tenant.canary])
    callers.push({ tenant, token: await tenants.session(tenant.users.owner.id, tenant.id) })
  }
  const key = randomBytes(32).toString('base64url')
  // each node has another first host
  nodes = await Promise.all([startNode(proxies, key), startNode(proxies.toReversed(), key)])
}, 120_000)
afterAll(async () => {
  await Promise.all(nodes.map((node) => node.stop()))
  await Promise.all(proxies.map((proxy) => proxy.close()))
  await cluster.close()
})

async function startNode(hosts: readonly TcpProxy[], key: string): Promise<Node> {
  const port = await freePort()
  const ports = hosts.map((proxy) => proxy.port)
  const child: ChildProcess = spawn(process.execPath, ['--import', 'tsx', main], {
    env: {
      PATH: process.env['PATH'] ?? '',
      PORT: String(port),
      METRICS_PORT: 'off',
      LOG_LEVEL: process.env['FAULTS_LOG'] ?? 'silent',
      FAULTS_DIRECTORY: cluster.directory,
      DATABASE_URL: cluster.url('app', ports),
      HOLDFAST_IDENTITY_URL: cluster.url('identity', ports),
      HOLDFAST_KEY: key,
      HOLDFAST_ORIGIN: 'http://localhost:7070',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  let complaints = ''
  child.stdout?.on('data', (chunk: Buffer) => (said += chunk.toString()))
  child.stderr?.on('data', (chunk: Buffer) => (complaints += chunk.toString()))
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const origin = `http://127.0.0.1:${port}`
  const deadline = performance.now() + 90_000
  while (!(await isReady(origin))) {
    if (child.exitCode !== null || performance.now() > deadline)
      throw new Error(`a node did not start (${child.exitCode}):\n${complaints}`)
    await pause(50)
  }
  let stopping: Promise<Report> | undefined
  return {
    origin,
    stop() {
      stopping ??= (async () => {
        child.kill('SIGTERM')
        await ended
        return JSON.parse(said) as Report
      })()
      return stopping
    },
  }
}

async function isReady(origin: string): Promise<boolean> {
  return fetch(`${origin}/ready`).then(
    ({ status }) => status === 200,
    () => false,
  )
}

/** Numbers from 0 up to 1 that a seed gives: xorshift32. */
function randomOf(seed: number): () => number {
  let state = seed | 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
}

type Outcome = 'acknowledged' | 'unknown' | 'refused' | 'foreign'

/** One write, and one read by the same caller. What is answered must be the caller's own. */
async function write({ tenant, token }: Caller, origin: string, path: string, mark: string): Promise<Outcome> {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  const answer = await fetch(`${origin}${path}`, { method: 'POST', headers, body: JSON.stringify({ mark }) })
  const body = (await answer.json()) as Record<string, unknown>
  if (answer.status !== 201) return body['code'] === 'outcome_unknown' ? 'unknown' : 'refused'
  return body['mark'] === mark && body['canary'] === tenant.canary ? 'acknowledged' : 'foreign'
}
async function seesOwn({ tenant, token }: Caller, origin: string): Promise<boolean> {
  const answer = await fetch(`${origin}/canary`, { headers: { authorization: `Bearer ${token}` } })
  const { canary } = (await answer.json()) as { canary?: unknown }
  return answer.status !== 200 || canary === tenant.canary
}

const random = randomOf(SEED)
const between = (least: number, most: number): number => least + Math.floor(random() * (most - least))

/** Takes the server's files past the limit that `choke` sets, which its log keeps. */
const FILL = `INSERT INTO app.marks (tenant_id, mark, canary)
SELECT '00000000-0000-0000-0000-000000000000', repeat('y', 1500), '' FROM generate_series(1, 11000)`
const LOG_SEGMENT_BYTES = 16 * 1024 * 1024

const faults: Readonly<Record<string, () => Promise<void>>> = {
  async kill() {
    await cluster.end('SIGKILL')
    await pause(between(0, 200))
    await cluster.start()
  },
  async mute() {
    // all may have been reading just then
    for (let time = 0, hidden = 0; hidden === 0 && time < 10; time++) {
      for (const count of await Promise.all(proxies.map((proxy) => proxy.mute()))) hidden += count
      await pause(between(20, 60))
    }
  },
  async choke() {
    const [size] = await cluster.owner("SELECT pg_relation_size('app.marks')::INT4 AS bytes")
    if (Number(size?.['bytes']) < LOG_SEGMENT_BYTES) await cluster.owner(FILL)
    cluster.limitFiles(LOG_SEGMENT_BYTES)
    await pause(between(400, 700))
    cluster.limitFiles()
    if (!cluster.isRunning) await cluster.start()
  },
  async readOnly() {
    await cluster.owner('ALTER SYSTEM SET default_transaction_read_only = on')
    await cluster.owner('SELECT pg_reload_conf()')
    await pause(between(200, 500))
    await cluster.owner('ALTER SYSTEM RESET default_transaction_read_only')
    await cluster.owner('SELECT pg_reload_conf()')
  },
  async leave() {
    const proxy = proxies[between(0, 2)] as TcpProxy
    await proxy.leave()
    await pause(between(100, 300))
    await proxy.comeBack()
  },
  async stall() {
    for (const proxy of proxies) proxy.stall()
    // past the time limit of a transaction now and then, in the long run
    await pause(WRITES > 200 && random() < 0.2 ? 6_000 : between(100, 400))
    for (const proxy of proxies) proxy.flow()
  },
  async cut() {
    for (let time = 0; time < 5; time++) {
      for (const proxy of proxies) proxy.cut()
      await pause(between(5, 50))
    }
  },
  async restart() {
    await cluster.end(random() < 0.5 ? 'SIGQUIT' : 'SIGINT')
    await cluster.start()
  },
}

/** Waits until both nodes are ready and have written. @returns how long it took, in milliseconds */
async function recovery(): Promise<number> {
  const started = performance.now()
  for (const { origin } of nodes) {
    const caller = callers[0] as Caller
    const works = async () =>
      (await isReady(origin)) &&
      (await write(caller, origin, '/marks', `recovered ${randomBytes(8).toString('hex')}`)) === 'acknowledged'
    while (!(await works())) {
      if (performance.now() - started > 3 * RECOVERY_MS) throw new Error('a node has not recovered')
      await pause(50)
    }
  }
  return performance.now() - started
}

describe('a database with faults, under load from two nodes', () => {
  it(`loses no acknowledged write of ${WRITES}, applies none twice, and mixes up no callers`, {
    timeout: 60_000 + WRITES * 100,
  }, async () => {
    const names = Object.keys(faults).filter((name) => name !== 'choke' || process.platform === 'linux')
    if (!names.includes('choke')) console.warn('SKIPPED: the fault "choke" needs prlimit, which is there on Linux')
    const count = Math.max(5, Math.round(WRITES / WRITES_PER_FAULT))
    const outcomes = new Map<string, Outcome>()
    const recoveries: number[] = []
    let mixedUp = 0
    let isOver = false
    const writer = async (index: number): Promise<void> => {
      const caller = callers[index % callers.length] as Caller
      for (let round = 0; outcomes.size < WRITES || !isOver; round++) {
        const { origin } = nodes[(index + round) % nodes.length] as Node
        const mark = `${caller.tenant.slug} ${index} ${round} ${PADDING}`
        const outcome = await write(caller, origin, round % 3 === 0 ? '/marks/slowly' : '/marks', mark)
        outcomes.set(mark, outcome)
        if (!(await seesOwn(caller, origin))) mixedUp++
        // not faster than the faults come
        if (outcomes.size > WRITES_PER_FAULT * (recoveries.length + 1)) await pause(50)
      }
    }
    const injector = async (): Promise<void> => {
      for (let number = 0; number < count; number++) {
        while (outcomes.size < number * (WRITES / count)) await pause(5)
        await pause(between(0, 50))
        // each kind in turn, the order of a turn by chance after the first
        const name = number < names.length ? names[number] : names[between(0, names.length)]
        await faults[String(name)]?.()
        recoveries.push(await recovery())
      }
      isOver = true
    }
    await Promise.all([injector(), ...Array.from({ length: WRITERS }, (_, index) => writer(index))])

    const reports = await Promise.all(nodes.map((node) => node.stop()))
    const stored = new Map<string, { times: number; canary: string }>()
    for (const row of await cluster.owner(
      'SELECT mark, canary, count(*)::INT4 AS times FROM app.marks GROUP BY 1, 2',
    )) {
      stored.set(String(row['mark']), { times: Number(row['times']), canary: String(row['canary']) })
    }
    const tally = { acknowledged: 0, unknown: 0, refused: 0, foreign: 0, lost: 0, twice: 0, refusedButApplied: 0 }
    for (const [mark, outcome] of outcomes) {
      tally[outcome]++
      const times = stored.get(mark)?.times ?? 0
      if (times > 1) tally.twice++
      if (outcome === 'acknowledged' && times === 0) tally.lost++
      if (outcome === 'refused' && times > 0) tally.refusedButApplied++
    }
    const retries = reports.map(({ stats }) => stats.retries)
    console.log(
      JSON.stringify({ seed: SEED, faults: count, ...tally, retries, slowestRecoveryMs: Math.max(...recoveries) }),
    )
    expect(tally).toMatchObject({ foreign: 0, lost: 0, twice: 0, refusedButApplied: 0 })
    expect(mixedUp).toBe(0)
    for (const { looks, leftBehind } of reports) {
      expect(looks).toBeGreaterThan(WRITES / 2)
      expect(leftBehind).toBe(0)
    }
    expect(tally.acknowledged).toBeGreaterThan(WRITES / 2)
    // the faults were felt: commits whose answer was swallowed – else none could be applied twice –, connections that
    // could not be had
    expect(reports.reduce((sum, { stats }) => sum + stats.ambiguous, 0)).toBeGreaterThan(0)
    expect(tally.unknown).toBeGreaterThan(0)
    expect(retries.some((each) => Object.keys(each).length > 0)).toBe(true)
    expect(Math.max(...recoveries)).toBeLessThan(RECOVERY_MS)
  })
})
