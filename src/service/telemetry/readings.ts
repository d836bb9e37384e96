import type { Pool } from '../../core/database/pool.ts'
import type { Scope } from '../../core/scope/scope.ts'
import type { Lane } from '../identity/lane.ts'
import type { OutboxWorker } from '../mail/worker.ts'

/** What is measured besides requests. */
export type Sources = {
  readonly pools: Readonly<Record<string, Pick<Pool, 'stats'>>>
  readonly scope: Pick<Scope, 'stats'>
  readonly hashing: Pick<Lane, 'stats'>
  readonly outbox: Pick<OutboxWorker, 'stats'>
}

type Labels = Readonly<Record<string, string>>
/** One number, and the labels that tell it from its siblings. */
type Reading = readonly [labels: Labels, value: number]

/** A measure: its name as Prometheus has it, and how it is read. A counter only grows as long as the process lives. */
export type Measure = {
  readonly name: string
  readonly help: string
  readonly kind: 'counter' | 'gauge'
  readonly labels: readonly string[]
  readonly read: (sources: Sources) => readonly Reading[]
}

function ofPools(
  read: (stats: Pool['stats']) => readonly (readonly [labels: Labels, value: number])[],
): Measure['read'] {
  return ({ pools }) =>
    Object.entries(pools).flatMap(([pool, { stats }]) =>
      read(stats).map(([labels, value]): Reading => [{ pool, ...labels }, value]),
    )
}

/** All that is measured by looking, not by being told. */
export const MEASURES: readonly Measure[] = [
  {
    name: 'holdfast_database_connections',
    help: 'Connections and waiters of each pool',
    kind: 'gauge',
    labels: ['pool', 'state'],
    read: ofPools(({ size, idle, waiting }) => [
      [{ state: 'open' }, size],
      [{ state: 'idle' }, idle],
      [{ state: 'waiting' }, waiting],
    ]),
  },
  {
    name: 'holdfast_database_connections_opened_total',
    help: 'Connections that were made',
    kind: 'counter',
    labels: ['pool'],
    read: ofPools(({ created }) => [[{}, created]]),
  },
  {
    name: 'holdfast_database_connections_closed_total',
    help: 'Connections that were closed or given up',
    kind: 'counter',
    labels: ['pool'],
    read: ofPools(({ destroyed }) => [[{}, destroyed]]),
  },
  {
    name: 'holdfast_database_round_trips_total',
    help: 'Flights: statements sent together and answered together',
    kind: 'counter',
    labels: ['pool'],
    read: ofPools(({ flights }) => [[{}, flights]]),
  },
  {
    name: 'holdfast_database_retries_total',
    help: 'Further runs of transactions by the SQLSTATE that led to them',
    kind: 'counter',
    labels: ['pool', 'sqlstate'],
    read: ofPools(({ retries }) => Object.entries(retries).map(([sqlstate, count]) => [{ sqlstate }, count])),
  },
  {
    name: 'holdfast_database_failures_total',
    help: 'Transactions that no further run was to mend: commits in doubt, and those with neither tries nor time left',
    kind: 'counter',
    labels: ['pool', 'outcome'],
    read: ofPools(({ ambiguous, exhausted }) => [
      [{ outcome: 'ambiguous' }, ambiguous],
      [{ outcome: 'exhausted' }, exhausted],
    ]),
  },
  {
    name: 'holdfast_scope_statements',
    help: 'Scoped statements that are remembered',
    kind: 'gauge',
    labels: [],
    read: ({ scope }) => [[{}, scope.stats.size]],
  },
  {
    name: 'holdfast_scope_lookups_total',
    help: 'Statements scoped: remembered ones, and those that were admitted, rewritten and proven',
    kind: 'counter',
    labels: ['outcome'],
    read: ({ scope: { stats } }) => [
      [{ outcome: 'hit' }, stats.hits],
      [{ outcome: 'miss' }, stats.misses],
    ],
  },
  {
    name: 'holdfast_password_hashes',
    help: 'The lane of password hashes',
    kind: 'gauge',
    labels: ['state'],
    read: ({ hashing: { stats } }) => [
      [{ state: 'running' }, stats.running],
      [{ state: 'waiting' }, stats.waiting],
    ],
  },
  {
    name: 'holdfast_password_hashes_total',
    help: 'Password hashes that were done, or refused because the lane was full',
    kind: 'counter',
    labels: ['outcome'],
    read: ({ hashing: { stats } }) => [
      [{ outcome: 'done' }, stats.done],
      [{ outcome: 'refused' }, stats.refused],
    ],
  },
  {
    name: 'holdfast_outbox_waiting',
    help: 'Mails in the outbox, as the process saw it that delivers; no value in the others',
    kind: 'gauge',
    labels: [],
    read: ({ outbox: { stats } }) => (stats.waiting === undefined ? [] : [[{}, stats.waiting]]),
  },
  {
    name: 'holdfast_outbox_mails_total',
    help: 'Tries to deliver a mail by what became of them',
    kind: 'counter',
    labels: ['outcome'],
    read: ({ outbox: { stats } }) => [
      [{ outcome: 'delivered' }, stats.delivered],
      [{ outcome: 'failed' }, stats.failed],
      [{ outcome: 'given_up' }, stats.givenUp],
    ],
  },
]
