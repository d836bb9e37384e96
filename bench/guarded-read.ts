/**
 * What the guard costs: the same read, guarded by both walls with a fresh role, and with no guard at all, on one machine,
 * in one run, in turns. Ratios, with their spread over the rounds: absolute figures depend on the machine.
 *
 *   npm run bench
 *   npm run bench -- --rounds 12 --seconds 3 --connections 20
 */
import { fork } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import fastify from 'fastify'
import pg from 'pg'
import { startEmbedded } from '../src/core/database/embedded.ts'
import { migrate } from '../src/core/database/migrate.ts'
import { createPool } from '../src/core/database/pool.ts'
import { can } from '../src/core/guard/access.ts'
import { newSessionToken } from '../src/core/guard/credential.ts'
import { createGuard } from '../src/core/guard/guard.ts'
import { param, sql } from '../src/core/guard/sql.ts'
import { createScope, loadKernel } from '../src/core/scope/scope.ts'
import { guardPlugin } from '../src/fastify.ts'
import { defaultRoles, serviceManifest } from '../src/service/tenancy/manifest.ts'
import type { Round, RoundResult } from './load.ts'

const TENANTS = 50
const TEAMS_A_TENANT = 40
const POOL = 10

const { values: flags } = parseArgs({
  options: {
    rounds: { type: 'string', default: '8' },
    seconds: { type: 'string', default: '2' },
    connections: { type: 'string', default: '20' },
    json: { type: 'boolean', default: false },
  },
})
const rounds = Number(flags.rounds)
const milliseconds = Number(flags.seconds) * 1000
const connections = Number(flags.connections)

const directory = mkdtempSync(join(tmpdir(), 'holdfast-bench-'))
// As root, PostgreSQL runs under another account, which must pass through.
chmodSync(directory, 0o711)
const embedded = await startEmbedded({ dataDirectory: directory, log: () => undefined })
try {
  await migrate({ target: embedded.target('migrator'), roleGrants: defaultRoles })
  const token = await seed()
  await measure(token)
} finally {
  await embedded.stop()
  rmSync(directory, { recursive: true, force: true })
}

async function seed(): Promise<string> {
  const client = new pg.Client(embedded.target('superuser'))
  await client.connect()
  const { token, hash } = newSessionToken()
  await client.query(
    `INSERT INTO holdfast.tenants (slug, name) SELECT 't' || n, 'T' || n FROM generate_series(1, ${TENANTS}) n`,
  )
  await client.query(
    `INSERT INTO holdfast.users (email, display_name) SELECT 'u' || n || '@example.com', 'U' || n FROM generate_series(1, ${TENANTS}) n`,
  )
  await client.query(
    `INSERT INTO holdfast.memberships (tenant_id, user_id, role)
     SELECT t.id, u.id, 'member' FROM holdfast.tenants t JOIN holdfast.users u ON u.email = 'u' || substr(t.slug, 2) || '@example.com'`,
  )
  await client.query(
    `INSERT INTO tenancy.teams (tenant_id, slug, name, created_by)
     SELECT m.tenant_id, 'team-' || n, 'Team ' || n, m.user_id FROM holdfast.memberships m, generate_series(1, ${TEAMS_A_TENANT}) n`,
  )
  await client.query(
    `INSERT INTO holdfast.sessions (token_hash, user_id, tenant_id, idle_seconds, expires_at)
     SELECT $1, m.user_id, m.tenant_id, 86400, now() + INTERVAL '1 day' FROM holdfast.memberships m JOIN holdfast.tenants t ON t.id = m.tenant_id WHERE t.slug = 't7'`,
    [hash],
  )
  await client.query('ANALYZE')
  await client.end()
  return token
}

async function measure(token: string): Promise<void> {
  await loadKernel()
  const pools = {
    app: await createPool({ connection: embedded.target('app'), size: POOL, applicationName: 'bench' }),
    identity: await createPool({ connection: embedded.target('identity'), size: 1, applicationName: 'bench' }),
  }
  const plainPool = new pg.Pool({ ...embedded.target('superuser'), max: POOL })
  // the server may end before it, when a round has failed: that failure is what is to be seen
  plainPool.on('error', () => undefined)
  const { rows } = await plainPool.query<{ id: string }>(`SELECT id FROM holdfast.tenants WHERE slug = 't7'`)
  const tenantId = rows[0]?.id

  const guarded = fastify()
  const guard = createGuard({ pools, scope: createScope({ manifest: serviceManifest, dialect: 'postgresql' }) })
  await guarded.register(guardPlugin, { guard, origin: 'http://localhost' })
  guarded.get(
    '/teams/:slug',
    {
      config: { access: can('team:read'), first: sql`SELECT id, slug, name FROM teams WHERE slug = ${param('slug')}` },
    },
    async (request) => request.first.rows[0],
  )
  // the same read with nothing in front: no credential looked at, no role, no row-level security, one named statement
  const plain = fastify()
  plain.get<{ Params: { slug: string } }>('/teams/:slug', async (request) => {
    const result = await plainPool.query({
      name: 'team',
      text: 'SELECT id, slug, name FROM tenancy.teams WHERE tenant_id = $1 AND slug = $2',
      values: [tenantId, request.params.slug],
    })
    return result.rows[0] as unknown
  })
  const origins = {
    guarded: await listen(guarded),
    plain: await listen(plain),
  }
  const client = fork(new URL('./load.ts', import.meta.url), { execArgv: ['--import', 'tsx'] })
  const run = (round: Round): Promise<RoundResult> =>
    new Promise((resolve) => {
      client.once('message', (result) => resolve(result as RoundResult))
      client.send(round)
    })

  const seen: Record<'guarded' | 'plain', (RoundResult & { cpu: number })[]> = { guarded: [], plain: [] }
  for (let number = -1; number < rounds; number++) {
    // each goes first in every other round
    for (const kind of number % 2 === 0 ? (['guarded', 'plain'] as const) : (['plain', 'guarded'] as const)) {
      const before = process.cpuUsage()
      const result = await run({ origin: origins[kind], path: '/teams/team-7', token, connections, milliseconds })
      const { user, system } = process.cpuUsage(before)
      if (result.failures > 0) throw new Error(`${kind}: ${result.failures} requests failed`)
      // the first round warms up
      if (number >= 0) seen[kind].push({ ...result, cpu: (user + system) / result.requests })
    }
    if (!flags.json) process.stderr.write(number < 0 ? 'warmed up\n' : `round ${number + 1} of ${rounds}\n`)
  }
  report(seen)
  client.kill()
  await Promise.all([guarded.close(), plain.close(), pools.app.close(), pools.identity.close(), plainPool.end()])
}

async function listen(app: {
  listen(o: { port: number; host: string }): Promise<string>
  server: { address(): unknown }
}): Promise<string> {
  await app.listen({ port: 0, host: '127.0.0.1' })
  return `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
}

type Seen = Record<'guarded' | 'plain', (RoundResult & { cpu: number })[]>

function report(seen: Seen): void {
  const measures = {
    'requests a second': (one: RoundResult) => one.requests / one.seconds,
    'p50, ms': (one: RoundResult) => one.p50,
    'p99, ms': (one: RoundResult) => one.p99,
    'CPU of the process a request, µs': (one: RoundResult & { cpu: number }) => one.cpu,
  }
  const rows = Object.entries(measures).map(([name, of]) => {
    const ratios = seen.guarded
      .map((one, index) => of(one) / of(seen.plain[index] as RoundResult & { cpu: number }))
      .sort((a, b) => a - b)
    const median = (list: number[]): number => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)] ?? 0
    return {
      name,
      guarded: median(seen.guarded.map(of)),
      plain: median(seen.plain.map(of)),
      ratio: median(ratios),
      lowest: ratios[0] ?? 0,
      highest: ratios.at(-1) ?? 0,
    }
  })
  if (flags.json) {
    console.log(JSON.stringify({ rounds, connections, measures: rows }))
    return
  }
  console.log(
    `\nguarded against plain, ${rounds} rounds in turns, ${connections} connections; medians, ratio with lowest and highest round\n`,
  )
  for (const { name, guarded, plain, ratio, lowest, highest } of rows) {
    console.log(
      `${name.padEnd(34)} ${guarded.toFixed(2).padStart(9)} ${plain.toFixed(2).padStart(9)}   ratio ${ratio.toFixed(2)} (${lowest.toFixed(2)}–${highest.toFixed(2)})`,
    )
  }
}
