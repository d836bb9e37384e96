import pg from 'pg'
import { bind, createScope } from '../src/core/scope/scope.ts'
import { billing, billingSchema, everyGrant, idOf } from './billing.ts'
import { openEmbedded } from './database.ts'
import { median } from './median.ts'
import { cpuOfChildren } from './process-times.ts'

/** Queries of one kind in one turn, and turns of each kind in a round. */
const TURN = 100
const TURNS = 10

/** Microseconds of one query: by the clock, there and back, and of PostgreSQL's CPU where the system accounts for it. */
type Times = { readonly clock: number; readonly cpu: number | undefined }
/** One round, each the median of its turns. */
export type PointRound = { readonly scoped: Times; readonly byHand: Times }

/** A point query as the kernel sends it, and as one writes it by hand with the tenant in WHERE: both named, in turns. */
export async function measurePointQuery(rounds: number, say: (line: string) => void): Promise<PointRound[]> {
  const { embedded, close } = await openEmbedded()
  try {
    const client = new pg.Client({ ...embedded.target('superuser'), ssl: false })
    await client.connect()
    for (const statement of billingSchema) await client.query(statement)
    const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
    const pid = rows[0]?.pid ?? 0
    const [tenantId, userId, id] = [idOf('t', 7), idOf('o', 7), idOf('i', 7_007)]
    const scoped = createScope({ manifest: billing, dialect: 'postgresql' }).scope(
      'SELECT id, number, total FROM invoices WHERE id = $1',
      everyGrant,
    )
    const queries = {
      scoped: { name: scoped.name, text: scoped.text, values: bind(scoped, { tenantId, userId }, [id]) },
      byHand: {
        name: 'by_hand',
        text: 'SELECT id, number, total FROM billing.invoices WHERE tenant_id = $2 AND id = $1',
        values: [id, tenantId],
      },
    }
    const seen: PointRound[] = []
    for (let round = -1; round < rounds; round++) {
      const times: Record<keyof PointRound, Times[]> = { scoped: [], byHand: [] }
      for (let turn = 0; turn < TURNS; turn++) {
        const kinds = ['scoped', 'byHand'] as const
        for (const kind of turn % 2 === 0 ? kinds : kinds.toReversed())
          times[kind].push(await ask(client, pid, queries[kind]))
      }
      // the first round warms up
      if (round >= 0) seen.push({ scoped: middle(times.scoped), byHand: middle(times.byHand) })
    }
    await client.end()
    say(`${rounds} rounds against the database`)
    return seen
  } finally {
    await close()
  }
}

/** One query after another on one connection. */
async function ask(client: pg.Client, pid: number, query: pg.QueryConfig): Promise<Times> {
  const before = cpuOfChildren(pid)
  const started = performance.now()
  for (let count = 0; count < TURN; count++) {
    const { rowCount } = await client.query(query)
    if (rowCount !== 1) throw new Error(`the point query gave ${rowCount} rows`)
  }
  const clock = ((performance.now() - started) * 1000) / TURN
  const after = cpuOfChildren(pid)
  return { clock, cpu: before === undefined || after === undefined ? undefined : (after - before) / TURN }
}

function middle(turns: readonly Times[]): Times {
  const cpu = turns.flatMap((turn) => turn.cpu ?? [])
  return { clock: median(turns.map(({ clock }) => clock)), cpu: cpu.length < turns.length ? undefined : median(cpu) }
}
