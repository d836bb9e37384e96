import type { FastifyInstance } from 'fastify'
import { newSessionToken } from '../core/guard/credential.ts'
import { parseGrants } from '../core/scope/grants.ts'
import type { DescribedRoute } from '../service/http/guard-plugin.ts'
import { formatAccess } from '../service/http/route-declaration.ts'
import { nameText } from '../core/scope/leaf.ts'
import { differences, footprintOf } from './footprint.ts'
import { planRequest, type Samples } from './plan-request.ts'
import { ofTenant, type Seed, type SeededTenant, seedTenant } from './seed-tenant.ts'
import type { TestHoldfast } from './test-holdfast.ts'

/** One line of the report. */
export type Finding = {
  readonly route: string
  readonly actor: string
  readonly expected: string
  readonly came: string
}

/** Something of one tenant reached another, or could not be shown not to. */
export class IsolationError extends Error {
  override readonly name = 'IsolationError'
  readonly code = 'not_isolated'
  readonly findings: readonly Finding[]

  constructor(findings: readonly Finding[], requests: number) {
    super(reportOf(findings, requests))
    this.findings = findings
  }
}

export type IsolationOptions = {
  /** the Holdfast that guards the application */
  readonly test: TestHoldfast
  /** inserts rows that the catalog does not tell how to invent */
  readonly seed?: Seed
  readonly samples?: Samples
}

type Actor = { readonly name: string; readonly role: string | undefined; readonly headers: Record<string, string> }
type Cell = { status: number; text: string; changes: string[] }

/**
 * Tries every route as nobody, with a forged token and as each role of one tenant, with that tenant's ids and with
 * another's, and undoes it all. What it expects is in docs/testing.md (OWASP API1:2023, CWE-639, CWE-863).
 *
 * @returns how much was tried
 * @throws IsolationError with a table of all that was found
 * @throws TypeError when a row for the two tenants cannot be invented
 */
export async function expectIsolated(app: FastifyInstance, o: IsolationOptions): Promise<{ requests: number }> {
  await app.ready()
  const { test, seed, samples = {} } = o
  const routes = (app.declaredRoutes ?? []).flatMap((route) =>
    route.methods.filter((method) => method !== 'HEAD' && method !== 'OPTIONS').map((method) => ({ route, method })),
  )
  if (routes.length === 0) throw new TypeError('the application has no guarded routes: was guardPlugin registered?')
  const restore = await test.checkpoint()
  try {
    const own = await seedTenant(test, 'isolation-own', seed)
    const other = await seedTenant(test, 'isolation-other', seed)
    const findings: Finding[] = []
    let requests = 0
    for (const { route, method } of routes) {
      const tried = await tryRoute(app, test, route, method, own, other, samples)
      requests += tried.requests
      findings.push(...tried.findings)
    }
    if (findings.length > 0) throw new IsolationError(findings, requests)
    return { requests }
  } finally {
    await restore()
  }
}

async function tryRoute(
  app: FastifyInstance,
  test: TestHoldfast,
  route: DescribedRoute,
  method: string,
  own: SeededTenant,
  other: SeededTenant,
  samples: Samples,
): Promise<{ findings: Finding[]; requests: number }> {
  const name = `${method} ${route.url}`
  const findings: Finding[] = []
  let requests = 0
  let admitted = 0
  let reads = !isReading(test, route, method)
  const statuses = new Set<number>()
  const owner = { owner: test.asOwner }
  const before = await footprintOf(owner)
  for (const actor of actorsOf(own)) {
    const holds = isHolding(test, route, actor)
    for (const target of [own, other]) {
      const isOwn = target === own
      const who = `${actor.name}, ${isOwn ? 'own ids' : 'ids of the other'}`
      const tell = (expected: string, came: string) => findings.push({ route: name, actor: who, expected, came })
      const planned = planRequest(test.manifest, route, method, target, actor.role ?? firstRole(own), samples)
      if ('lacking' in planned) return { requests, findings: [inconclusive(name, planned.lacking)] }
      const ask = async (emptied?: SeededTenant): Promise<Cell> => {
        const undo = await test.checkpoint()
        try {
          if (emptied !== undefined) await removeRows(test, emptied)
          requests++
          const response = await app.inject({
            method: method as 'GET',
            url: planned.url,
            headers: { ...planned.headers, ...actor.headers },
            ...(planned.body === undefined ? {} : { payload: planned.body as object }),
          })
          const changes = emptied !== undefined ? [] : differences(before, await footprintOf(owner))
          return { status: response.statusCode, text: `${response.body} ${JSON.stringify(response.headers)}`, changes }
        } finally {
          await undo()
        }
      }
      const cell = await ask()
      const { status, text, changes } = cell
      if (isOwn && holds && actor.role !== undefined) statuses.add(status)
      if (isOwn && holds && status >= 200 && status < 300) admitted++
      if (isOwn && holds && !reads && status < 300) {
        reads = marksOf(own).some((mark) => text.includes(mark)) || bodyOf(await ask(own)) !== bodyOf(cell)
      }
      if (status >= 500) tell('no fault', String(status))
      const { access } = route
      if (access.kind !== 'open') {
        if (actor.role === undefined && status !== 401) tell('401', String(status))
        if (actor.role !== undefined && !holds && status !== 403)
          tell(`403, for ${formatAccess(access)}`, String(status))
        if (holds && status === 401) tell('to be let in', '401')
      }
      const request = `${planned.url} ${JSON.stringify(planned.body)}`
      const seen = actor.role === undefined ? [own, other] : [other]
      const leak = seen
        .flatMap((tenant) => marksOf(tenant))
        .find((mark) => text.includes(mark) && !request.includes(mark))
      if (leak !== undefined) tell('nothing of a tenant that is not theirs', `${status} with "${leak}"`)
      const foreign = changes.filter((change) => change.includes(other.id))
      if (foreign.length > 0) tell('no change in the other tenant', `${status}, and ${shorten(foreign[0] ?? '')}`)
      else if (status >= 400 && changes.length > 0)
        tell('a denial that leaves nothing', `${status}, and ${shorten(changes[0] ?? '')}`)
      // whether the other's rows are there must make no difference (CWE-204)
      if (holds && actor.role !== undefined && leak === undefined) {
        const without = await ask(other)
        if (without.status !== status) {
          tell('the same answer whether the other’s rows are there', `${status}, and ${without.status} without them`)
        } else if (method === 'GET' && bodyOf(without) !== bodyOf(cell) && bodyOf(await ask()) === bodyOf(cell)) {
          tell('the same answer whether the other’s rows are there', `${status} with another body`)
        }
      }
    }
  }
  if (route.access.kind !== 'open' && admitted === 0) {
    const why =
      statuses.size === 0 ? 'no role holds its permissions' : `their own ids came to ${[...statuses].join(', ')}`
    findings.push(inconclusive(name, why))
  }
  if (admitted > 0 && !reads) {
    findings.push(
      inconclusive(name, 'its answers are the same without any row of the tenant, so a leak would not show'),
    )
  }
  return { findings, requests }
}

function inconclusive(route: string, why: string): Finding {
  return {
    route,
    actor: 'whoever may',
    expected: 'a 2xx with own ids, or nothing is tested',
    came: `inconclusive: ${why}. Give a sample: samples: { '${route}': { params: {…}, query: {…}, headers: {…}, body: {…} } }`,
  }
}

function actorsOf(own: SeededTenant): Actor[] {
  return [
    { name: 'nobody', role: undefined, headers: {} },
    { name: 'a forged token', role: undefined, headers: { authorization: `Bearer ${newSessionToken().token}` } },
    ...Object.entries(own.callers).map(([role, { headers }]) => ({ name: role, role, headers: { ...headers } })),
  ]
}

function firstRole({ callers }: SeededTenant): string {
  return Object.keys(callers)[0] ?? ''
}

function isHolding({ manifest }: TestHoldfast, { access }: DescribedRoute, { role }: Actor): boolean {
  if (access.kind === 'open') return true
  if (role === undefined) return false
  const grants = parseGrants(manifest.roles[role] ?? [])
  return access.kind !== 'can' || access.permissions.every((permission) => grants.has(permission))
}

/** A route that says it reads a table: some answer of it must depend on the rows. */
function isReading({ manifest }: TestHoldfast, { access }: DescribedRoute, method: string): boolean {
  if (method !== 'GET' || access.kind !== 'can') return false
  return manifest.tables.some(
    ({ resource, shared }) => shared === undefined && access.permissions.includes(`${resource}:read`),
  )
}

/** What only the tenant's rows hold. */
function marksOf(tenant: SeededTenant): string[] {
  const ids = [...tenant.rows.values()].flat().map(({ id }) => id)
  // a short id, such as a number, stands in many an answer
  return [tenant.canary, ...ids.filter((id) => typeof id === 'string' && id.length > 16).map(String)]
}

async function removeRows({ manifest, asOwner }: TestHoldfast, tenant: SeededTenant): Promise<void> {
  await asOwner("SET LOCAL session_replication_role = 'replica'")
  // children first: their parents tell whose they are
  for (const table of manifest.tables.toSorted(
    (a, b) => Number(b.through !== undefined) - Number(a.through !== undefined),
  )) {
    const condition = ofTenant(manifest, table)
    if (condition === undefined || table.view === true) continue
    await asOwner(`DELETE FROM ${nameText(table)} t WHERE ${condition}`, [tenant.id])
  }
  await asOwner("SET LOCAL session_replication_role = 'origin'")
}

/** A problem's `instance` is the request's own number. */
function bodyOf({ text }: Cell): string {
  return text
    .replaceAll(/"instance":"[^"]*"/g, '')
    .replaceAll(/"date":"[^"]*"/g, '')
    .replaceAll(/"content-length":"\d+"/g, '')
}

function shorten(change: string): string {
  return change.length > 120 ? `${change.slice(0, 120)}…` : change
}

function reportOf(findings: readonly Finding[], requests: number): string {
  const head: Finding = { route: 'route', actor: 'actor', expected: 'expected', came: 'came' }
  const width = (key: 'route' | 'actor' | 'expected') =>
    Math.max(...[head, ...findings].map((each) => each[key].length))
  const [route, actor, expected] = [width('route'), width('actor'), width('expected')]
  const lines = [head, ...findings].map((each) =>
    [each.route.padEnd(route), each.actor.padEnd(actor), each.expected.padEnd(expected), each.came].join('  '),
  )
  return `the application is not isolated: ${findings.length} findings in ${requests} requests\n\n${lines.join('\n')}\n`
}
