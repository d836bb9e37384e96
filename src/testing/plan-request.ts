import { randomUUID } from 'node:crypto'
import type { Row } from '../core/database/statement.ts'
import type { Manifest, Table } from '../core/scope/manifest.ts'
import type { DescribedRoute } from '../service/http/guard-plugin.ts'
import { fillPath, type JsonSchema, type Known, sample } from './sample.ts'
import { nameOf, type SeededTenant } from './seed-tenant.ts'

/** What a route is tried with, where what fits cannot be found: `'POST /invoices/:id': { body: { total: 1 } }`. */
export type Sample = {
  readonly params?: Readonly<Record<string, string>>
  readonly query?: Readonly<Record<string, string>>
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: unknown
}

/** Samples by `METHOD /path`; as a function they can draw on the tenant whose ids the request carries. */
export type Samples = Readonly<Record<string, Sample | ((tenant: SeededTenant, role: string) => Sample)>>

export type Planned =
  | { readonly url: string; readonly headers: Readonly<Record<string, string>>; readonly body: unknown }
  | { readonly lacking: string }

/** Fills a route's path, query and body with one tenant's ids. */
export function planRequest(
  manifest: Manifest,
  route: DescribedRoute,
  method: string,
  tenant: SeededTenant,
  role: string,
  samples: Samples,
): Planned {
  const found = samples[`${method} ${route.url}`]
  const given = typeof found === 'function' ? found(tenant, role) : (found ?? {})
  const known = { ...knownOf(manifest, route.url, tenant, role), ...given.params }
  const { body, querystring } = (route.schema ?? {}) as { body?: JsonSchema; querystring?: JsonSchema }
  try {
    const path = fillPath(route.url, known)
    const query = given.query ?? queryOf(querystring, known)
    const text = new URLSearchParams(query).toString()
    const needsBody = method === 'POST' || method === 'PUT' || method === 'PATCH'
    const fields = Object.fromEntries(Object.entries(known).filter(([name]) => name !== 'id'))
    const made = given.body ?? (body === undefined ? (needsBody ? {} : undefined) : sample(body, fields))
    // a change is based on whatever is there (RFC 9110 section 13.1.1)
    const match = method === 'GET' || method === 'POST' ? {} : { 'if-match': '*' }
    const key = route.idempotent === 'required' ? { 'idempotency-key': randomUUID() } : {}
    return {
      url: text === '' ? path : `${path}?${text}`,
      headers: { ...match, ...key, ...given.headers },
      body: made,
    }
  } catch (error) {
    return { lacking: (error as Error).message }
  }
}

function queryOf(schema: JsonSchema | undefined, known: Known): Record<string, string> {
  return Object.fromEntries(
    (schema?.required ?? []).map((name) => [name, String(sample(schema?.properties?.[name] ?? {}, known, name))]),
  )
}

/** Values by parameter's name: the row of the path's last table, and the parents that it names. */
function knownOf(manifest: Manifest, url: string, tenant: SeededTenant, role: string): Known {
  const known: Record<string, unknown> = { user_id: tenant.callers[role]?.userId, tenant: tenant.slug }
  for (const table of manifest.tables) {
    const row = rowFor(table, tenant, role)
    if (row?.['id'] === undefined) continue
    known[`${table.resource}_id`] = row['id']
    known[camel(`${table.resource}_id`)] = row['id']
  }
  const parts = url.split('/')
  let child: Row | undefined
  for (let index = parts.length - 1; index > 0; index--) {
    const name = /^:([A-Za-z0-9_]+)$/.exec(parts[index] ?? '')?.[1]
    if (name === undefined) continue
    const before = parts.slice(0, index).findLast((part) => part !== '' && !part.startsWith(':'))
    const table = manifest.tables.find((each) => before === each.name || before === each.resource)
    if (table === undefined) continue
    const rows = tenant.rows.get(nameOf(table)) ?? []
    const wanted = child?.[`${table.resource}_id`]
    const row = rows.find(({ id }) => wanted !== undefined && id === wanted) ?? rowFor(table, tenant, role)
    const column = row === undefined ? undefined : [name, snake(name)].find((each) => Object.hasOwn(row, each))
    if (row !== undefined) known[name] = column === undefined ? row['id'] : row[column]
    if (known[name] === undefined) delete known[name]
    child = row
  }
  return known
}

/** The caller's own row, or – as the owner of none – any. */
function rowFor(table: Table, tenant: SeededTenant, role: string): Row | undefined {
  const rows = tenant.rows.get(nameOf(table)) ?? []
  const userId = tenant.callers[role]?.userId
  return rows.find((row) => table.owner !== undefined && row[table.owner] === userId) ?? rows[0]
}

const camel = (name: string): string => name.replaceAll(/_(\w)/g, (_, letter: string) => letter.toUpperCase())
const snake = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
