import type { Row } from '../database/statement.ts'

/** Where a declared statement's value comes from when the request is there. */
export type ValueSource =
  | { readonly from: 'params' | 'query' | 'body'; readonly name: string }
  | { readonly from: 'caller'; readonly name: 'userId' | 'tenantId' }

declare const rows: unique symbol

/**
 * A statement with its values apart from its text (CWE-89). `R` is what its rows are said to be: it goes to the types of
 * `db.query`, `db.last` and `request.first`, and is not checked against the text.
 */
export type Sql<R extends object = Row> = {
  readonly text: string
  readonly values: readonly unknown[]
  /** Only in the types: there is no such property. */
  readonly [rows]?: R
}

const sources = new WeakSet<object>()

/**
 * SQL as a tagged template: each `${…}` becomes a bound parameter, never text (CWE-89, ASVS 1.2.4).
 * @example sql<{ id: string }>`SELECT id FROM invoices WHERE id = ${param('id')}`
 */
export function sql<R extends object = Row>(strings: TemplateStringsArray, ...values: readonly unknown[]): Sql<R> {
  let text = strings[0] ?? ''
  for (let index = 1; index < strings.length; index++) text += `$${index}${strings[index]}`
  return { text, values }
}

/** A value taken from the route's path. */
export function param(name: string): ValueSource {
  return source({ from: 'params', name })
}

/** A value taken from the query string. */
export function query(name: string): ValueSource {
  return source({ from: 'query', name })
}

/** A value taken from the body. */
export function body(name: string): ValueSource {
  return source({ from: 'body', name })
}

/** A value of the caller, as the database judged it. */
export function caller(name: 'userId' | 'tenantId'): ValueSource {
  return source({ from: 'caller', name })
}

/** What a declared statement may draw its values from. */
export type ValueInput = {
  readonly params: unknown
  readonly query: unknown
  readonly body: unknown
  readonly caller: { readonly userId: string; readonly tenantId: string }
}

/**
 * The values of a declared statement for one request.
 * @throws TypeError when a source names a field that the request's schema did not let through
 */
export function resolveValues(values: readonly unknown[], input: ValueInput): unknown[] {
  return values.map((value) => {
    if (!isSource(value)) return value
    const fields = input[value.from]
    if (typeof fields !== 'object' || fields === null || !Object.hasOwn(fields, value.name)) {
      throw new TypeError(`a declared statement takes ${value.from}.${value.name}, which the request does not have`)
    }
    return (fields as Record<string, unknown>)[value.name]
  })
}

/** Names of the path's parameters that a declared statement takes. */
export function paramsOf(values: readonly unknown[]): string[] {
  return values.filter(isSource).flatMap(({ from, name }) => (from === 'params' ? [name] : []))
}

function source<Source extends ValueSource>(made: Source): Source {
  const frozen = Object.freeze(made)
  sources.add(frozen)
  return frozen
}

/** Only a value made by this module is a source: a request's body that looks like one is a value (CWE-915). */
function isSource(value: unknown): value is ValueSource {
  return typeof value === 'object' && value !== null && sources.has(value)
}
