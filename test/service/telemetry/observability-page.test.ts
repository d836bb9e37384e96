import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { createMetrics } from '../../../src/service/telemetry/metrics.ts'
import { MEASURES, type Sources } from '../../../src/service/telemetry/readings.ts'

const pool = {
  stats: {
    size: 4,
    idle: 3,
    waiting: 2,
    created: 5,
    destroyed: 1,
    flights: 9,
    retries: { '40001': 6 },
    ambiguous: 1,
    exhausted: 2,
  },
} as Sources['pools'][string]
const sources: Sources = {
  pools: { app: pool },
  scope: { stats: { size: 7, hits: 30, misses: 8 } },
  hashing: { stats: { running: 1, waiting: 0, done: 6, refused: 2 } },
  outbox: { stats: { delivered: 3, failed: 1, givenUp: 0, waiting: 2 } },
}

const TOLD = [
  ['holdfast_http_request_duration_seconds', 'histogram', 'method, route, status', 'Time to answer'],
  ['holdfast_denials_total', 'counter', 'because', 'Denied callers by reason'],
] as const

/** Made again with: npx vitest run test/service/telemetry --update */
it('docs/observability.md has every measure', async () => {
  const rows = [
    ...TOLD.map(([name, kind, labels, help]) => `| \`${name}\` | ${kind} | ${labels} | ${help} |`),
    ...MEASURES.map(({ name, kind, labels, help }) => `| \`${name}\` | ${kind} | ${labels.join(', ')} | ${help} |`),
  ]
  const page = readFileSync(new URL('../../../docs/observability.md', import.meta.url), 'utf8')
  const [before, after] = page.split(/<!-- measures -->[^]*<!-- \/measures -->/)
  const table = ['| metric | kind | labels | what |', '|---|---|---|---|', ...rows].join('\n')
  const made = `${before}<!-- measures -->\n\n${table}\n\n<!-- /measures -->${after}`
  await expect(made).toMatchFileSnapshot('../../../docs/observability.md')
})

it('each measure is read, and a counter read twice is not counted twice', async () => {
  const metrics = await createMetrics(() => sources)
  metrics.denied('credential_missing')
  metrics.answered({ method: 'GET', route: '/v1/teams', status: 200, seconds: 0.002 })
  await metrics.text()
  const lines = (await metrics.text()).split('\n')
  for (const expected of [
    'holdfast_database_connections{pool="app",state="open"} 4',
    'holdfast_database_connections{pool="app",state="waiting"} 2',
    'holdfast_database_connections_opened_total{pool="app"} 5',
    'holdfast_database_connections_closed_total{pool="app"} 1',
    'holdfast_database_round_trips_total{pool="app"} 9',
    'holdfast_database_retries_total{pool="app",sqlstate="40001"} 6',
    'holdfast_database_failures_total{pool="app",outcome="ambiguous"} 1',
    'holdfast_database_failures_total{pool="app",outcome="exhausted"} 2',
    'holdfast_scope_statements 7',
    'holdfast_scope_lookups_total{outcome="hit"} 30',
    'holdfast_password_hashes{state="running"} 1',
    'holdfast_password_hashes_total{outcome="refused"} 2',
    'holdfast_outbox_waiting 2',
    'holdfast_outbox_mails_total{outcome="failed"} 1',
    'holdfast_denials_total{because="credential_missing"} 1',
    'holdfast_http_request_duration_seconds_count{method="GET",route="/v1/teams",status="200"} 1',
  ]) {
    expect(lines).toContain(expected)
  }
})

it('a process that does not deliver says nothing of what waits', async () => {
  const idle = { stats: { ...sources.outbox.stats, waiting: undefined } }
  const metrics = await createMetrics(() => ({ ...sources, outbox: idle }))
  expect((await metrics.text()).split('\n').filter((line) => line.startsWith('holdfast_outbox_waiting'))).toEqual([])
})

it('the dashboard asks for nothing that is not measured, and for all that is', async () => {
  const text = readFileSync(new URL('../../../deploy/grafana/holdfast.json', import.meta.url), 'utf8')
  const dashboard = JSON.parse(text) as {
    uid: string
    panels: { id: number; title: string; targets?: { expr: string }[] }[]
  }
  const asked = new Set(
    dashboard.panels.flatMap(({ targets = [] }) => targets.flatMap(({ expr }) => expr.match(/holdfast_\w+/g) ?? [])),
  )
  const measured = [...TOLD.map(([name]) => name), ...MEASURES.map(({ name }) => name)]
  const bases = [...asked].map((name) => name.replace(/_(?:bucket|count|sum)$/, ''))
  const defaults = (await (await createMetrics(() => sources)).text())
    .match(/^# TYPE (\S+)/gm)
    ?.map((line) => line.slice(7))
  expect(bases.filter((name) => !measured.includes(name) && defaults?.includes(name) !== true)).toEqual([])
  expect(measured.filter((name) => !bases.includes(name))).toEqual([])
  expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length)
})
