import { gentleIsolation } from '../../../core/database/dialect.ts'
import { DatabaseError, StatementError } from '../../../core/database/errors.ts'
import type { Table } from '../../../core/scope/manifest.ts'
import { type Catalog, readCatalog, type Shape } from './catalog.ts'
import { type ProofRow, reasonOf } from './judge.ts'
import { readExisting, type Existing } from './existing.ts'
import type { Finding } from '../finding.ts'
import { neverSet, type NeverSet } from './never-set.ts'
import { proofFindings } from './proof-findings.ts'
import { openTheatre, type ProofTargets, type ProofTimes, Stage, type Standing, type Theatre } from './stage.ts'
import type { TrySettings } from './permitted.ts'
import { tryShared } from './try-shared.ts'
import { tryTable, tryView, untried } from './try-table.ts'

/** What is proven, where, and how. */
export type ProofOptions = ProofTargets &
  ProofTimes & {
    /** those of the manifest, and {@link guardedTables} */
    readonly tables: readonly Table[]
    /** also writes to tables with triggers of their own, which may reach outside the database */
    readonly withTriggers?: boolean
  }

/** What the second wall did. */
export type Proof = {
  readonly dialect: 'postgresql' | 'cockroachdb'
  readonly standing: Standing
  readonly note?: string
  readonly rows: readonly ProofRow[]
  /** one for each table on which something was refuted */
  readonly findings: readonly Finding[]
}

/** The service's tables under the same policy that no handler reaches: the app role must not, either. */
export const guardedTables: readonly Table[] = ['memberships', 'invitations', 'idempotency_keys'].map((name) => ({
  schema: 'holdfast',
  name,
  resource: name,
  columns: { tenant_id: { type: 'uuid' } },
  tenant: 'tenant_id',
}))

/** A whole transaction is tried so often when others' work collides with it. */
const mostRuns = 3

/**
 * Tries the second wall alone: for each table and verb, as two sentinel tenants, as nobody and as a session that never
 * set anything, what statements reach of other tenants' rows that no kernel has seen. Nothing is ever committed.
 *
 * @throws DatabaseError when the database is not there, or says what no database should
 */
export async function prove(o: ProofOptions): Promise<Proof> {
  const theatre = await openTheatre(o, o)
  try {
    const catalog = await onStage(theatre, (stage) => readCatalog(stage, theatre.pool.dialect))
    const settings: TrySettings = {
      dialect: theatre.pool.dialect,
      catalog,
      tables: new Map(o.tables.map((table) => [`${table.schema}.${table.name}`, table])),
      withTriggers: o.withTriggers === true,
    }
    // first of all: no session can go back to never having set anything
    const before = new Map<string, NeverSet>()
    for (const table of o.tables) {
      const shape = shapeOf(catalog, table)
      if (shape === undefined || table.tenant === undefined) continue
      const reached = await unlessRefused(() => onStage(theatre, (stage) => neverSet(stage, settings, table, shape)))
      if (typeof reached !== 'string') before.set(shape.name, reached)
    }
    const role = await onStage(theatre, (stage) => stage.asApp())
    const found = await unlessRefused(() => onStage(theatre, (stage) => readExisting(stage, settings, o.tables)))
    const existing: Existing = typeof found === 'string' ? new Map() : found
    const rows: ProofRow[] = []
    for (const table of o.tables) rows.push(...(await one(theatre, settings, table, before, existing)))
    return {
      dialect: theatre.pool.dialect,
      standing: theatre.standing,
      ...(theatre.note === undefined ? {} : { note: theatre.note }),
      rows,
      findings: proofFindings(rows, settings, role),
    }
  } finally {
    await theatre.pool.close()
  }
}

async function one(
  theatre: Theatre,
  settings: TrySettings,
  table: Table,
  before: ReadonlyMap<string, NeverSet>,
  existing: Existing,
): Promise<readonly ProofRow[]> {
  const name = `${table.schema}.${table.name}`
  const shape = shapeOf(settings.catalog, table)
  if (shape === undefined) return untried(name, 'the database has no such table')
  if (table.through !== undefined)
    return untried(name, 'it has one wall, by the manifest (`through`): there is no second to try')
  const tried = await unlessRefused(() =>
    onStage(theatre, (stage) =>
      table.tenant === undefined
        ? tryShared(stage, settings, shape)
        : (table.view === true ? tryView : tryTable)(
            stage,
            settings,
            table,
            shape,
            before.get(name),
            existing.get(name) ?? [],
          ),
    ),
  )
  return typeof tried === 'string' ? untried(name, tried) : tried
}

/** The answer; or, where the database refused a statement outside of any try, or time ran out, why there is none. */
async function unlessRefused<T extends object>(play: () => Promise<T>): Promise<T | string> {
  try {
    return await play()
  } catch (error) {
    if (error instanceof StatementError) return reasonOf(error)
    if (error instanceof DatabaseError && error.code === 'transaction_timeout') return 'the table took too long'
    throw error
  }
}

function shapeOf(catalog: Catalog, { schema, name }: Table): Shape | undefined {
  return catalog.get(`${schema}.${name}`)
}

/** A transaction that ends in ROLLBACK, on every way out; nothing in this room can commit. */
async function onStage<T>(theatre: Theatre, play: (stage: Stage) => Promise<T>): Promise<T> {
  for (let run = 1; ; run++) {
    // on PostgreSQL SERIALIZABLE could make others' transactions fail; on CockroachDB it is the usual
    const isolation = gentleIsolation(theatre.pool.dialect)
    const transaction = await theatre.pool.begin({ isolation })
    try {
      const stage = new Stage(transaction, theatre.standing)
      await stage.prepare(theatre.lockTimeoutMs)
      return await play(stage)
    } catch (error) {
      const isCollision = error instanceof DatabaseError && error.code === 'serialization_failure'
      if (!isCollision || run >= mostRuns) throw error
    } finally {
      await transaction.rollback()
    }
  }
}
