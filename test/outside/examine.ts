import { readFileSync } from 'node:fs'
import type pg from 'pg'
import { ScopeRefusal } from '../../src/core/scope/refusals.ts'
import type { ScopedStatement } from '../../src/core/scope/scope.ts'
import { whyNot } from '../../src/core/scope/vocabulary/index.ts'
import { Arena, type Comparison, sameOrder, sameOutcome } from './arena.ts'
import { extract, type Found, fromPsql, sourcesIn } from './extract.ts'
import { FileJudge, type Judged, type Refusal, type Verb, withColumns } from './judge.ts'
import { World } from './tables.ts'

/** How many statements of a verb there were; `runs`: those that PostgreSQL runs without an error as they are. */
export type Tally = { total: number; admitted: number; runs: number; runsAdmitted: number }
/** Refusals of one kind; `runs` as above. */
export type Refusals = {
  readonly code: string
  readonly construct: string
  count: number
  runs: number
  readonly verbs: Partial<Record<Verb, number>>
  readonly examples: string[]
}
/** Executed statements that compare alike. */
export type Class = { count: number; readonly examples: string[] }

/** What became of a folder's statements. */
export type Report = {
  readonly folder: string
  files: number
  /** pieces of SQL, of whatever kind */
  pieces: number
  /** SELECT, INSERT, UPDATE and DELETE on tables of the manifest */
  readonly statements: Record<Verb, Tally>
  /** INSERTs that named no columns, once they do */
  readonly columnsNamed: Tally
  readonly refusals: Refusals[]
  /** admitted statements whose tables PostgreSQL has, by how the two walls compare */
  readonly executed: Record<string, Class>
  /** what must not be: other rows or effects than under row-level security, or another tenant's touched */
  readonly contradictions: string[]
}

const EXAMPLES = 40

/**
 * Runs a folder's statements through the kernel, and those that it admits on a database. Each file has tables of its own, and
 * those of the files called `…setup.sql`.
 * @param options.client a superuser's, of a database that is thrown away; without it nothing is executed
 * @param options.tables a file of CREATE TABLE, for what the folder's own statements do not make
 * @param options.onProgress called before each piece of work, with its place
 */
export async function examine(
  folder: string,
  options: {
    readonly client?: pg.Client
    readonly tables?: string | undefined
    readonly onProgress?: (place: string) => void
  } = {},
): Promise<Report> {
  const tally = (): Tally => ({ total: 0, admitted: 0, runs: 0, runsAdmitted: 0 })
  const report: Report = {
    folder,
    files: 0,
    pieces: 0,
    statements: { select: tally(), insert: tally(), update: tally(), delete: tally() },
    columnsNamed: tally(),
    refusals: [],
    executed: {},
    contradictions: [],
  }
  const { client, tables, onProgress } = options
  let base = tables === undefined ? new World() : worldOf(tables)
  const files = sourcesIn(folder)
  for (const file of [...files.filter(isSetup), ...files.filter((one) => !isSetup(one))]) {
    report.files++
    const schema = `outside_${report.files}`
    const judge = new FileJudge(schema, base)
    const arena = client === undefined ? undefined : new Arena(client, schema)
    await arena?.open()
    for (const found of extract(folder, file)) {
      report.pieces++
      onProgress?.(`${file}:${found.line}`)
      const judged = judge.judge(found)
      if (judged !== undefined) await take(report, judge, judged, arena)
    }
    await arena?.close()
    if (isSetup(file)) base = judge.world
  }
  report.refusals.sort((one, other) => other.count - one.count)
  return report
}

function worldOf(file: string): World {
  const judge = new FileJudge('outside', new World())
  for (const piece of fromPsql(readFileSync(file, 'utf8'))) judge.judge({ ...piece, file })
  return judge.world
}

function isSetup(file: string): boolean {
  return file.endsWith('setup.sql')
}

async function take(report: Report, judge: FileJudge, judged: Judged, arena: Arena | undefined): Promise<void> {
  const usable = arena !== undefined && (await provide(arena, judge, judged.tables)) ? arena : undefined
  await count(report, report.statements[judged.verb], judged, usable)
  if ('scoped' in judged.verdict || judged.verdict.refused.code !== 'column_list_missing') return
  const named = withColumns(judged, judge.world)
  const again = named === undefined ? undefined : judge.judge(named)
  if (again !== undefined) await count(report, report.columnsNamed, again, usable)
}

async function count(report: Report, tally: Tally, judged: Judged, arena: Arena | undefined): Promise<void> {
  tally.total++
  if ('scoped' in judged.verdict) {
    const runs = arena !== undefined && (await execute(report, judged, judged.verdict.scoped, arena))
    tally.admitted++
    if (runs) tally.runsAdmitted++
    if (runs) tally.runs++
  } else {
    const runs = arena !== undefined && (await arena.runs(judged.found.sql, judged.tables))
    if (runs) tally.runs++
    countRefusal(report, judged, judged.verdict, runs)
  }
}

async function provide(arena: Arena, judge: FileJudge, tables: readonly string[]): Promise<boolean> {
  for (const name of tables) {
    const shape = judge.world.get(name)
    if (shape === undefined || !(await arena.provide(shape))) return false
  }
  return true
}

function countRefusal(report: Report, { found, verb }: Judged, { refused, ...verdict }: Refusal, runs: boolean): void {
  const { code } = refused
  const construct = summed(code, verdict.construct)
  let entry = report.refusals.find((one) => one.code === code && one.construct === construct)
  if (entry === undefined) {
    entry = { code, construct, count: 0, runs: 0, verbs: {}, examples: [] }
    report.refusals.push(entry)
  }
  entry.count++
  if (runs) entry.runs++
  entry.verbs[verb] = (entry.verbs[verb] ?? 0) + 1
  // what runs teaches more
  const shown = `${runs ? 'runs: ' : ''}${show(found)}`
  if (entry.examples.length < EXAMPLES) entry.examples.push(shown)
  else if (runs) entry.examples[entry.count % EXAMPLES] = shown
}

/** Names that are the suite's own say nothing; column names in a hint neither. */
function summed(code: string, construct: string): string {
  if (code === 'column_list_missing') return ''
  if (code === 'grouping_incomplete') return 'add … to GROUP BY'
  if (code === 'column_not_accepted') return construct.replace(/\S+\.\*$/, '….*')
  if (code === 'function_not_accepted' && whyNot('function', construct) === undefined) return "one of the suite's own"
  if (code === 'type_not_accepted' && whyNot('type', construct) === undefined) return "one of the suite's own"
  return construct
}

/** @returns whether the raw statement runs */
async function execute(
  report: Report,
  { found, tables }: Judged,
  statement: ScopedStatement,
  arena: Arena,
): Promise<boolean> {
  const before = statement.writes ? await arena.foreign(tables) : undefined
  const compared = await arena.compare(found.sql, statement, tables)
  const isBound = !(compared instanceof ScopeRefusal)
  const name = isBound ? classOf(compared, found) : `refused when bound: ${compared.code}`
  const entry = (report.executed[name] ??= { count: 0, examples: [] })
  entry.count++
  if (name !== 'equal' && entry.examples.length < EXAMPLES) entry.examples.push(show(found))
  if (!isBound) return false
  const { scoped, raw } = compared
  if (name === DIFFERENT) {
    report.contradictions.push(`${show(found)}\n  scoped: ${statement.text}\n  ${told(scoped)}\n  ${told(raw)}`)
  }
  if (before !== undefined && !('failed' in scoped) && scoped.foreign !== before) {
    report.contradictions.push(`ANOTHER TENANT'S ROWS: ${show(found)}\n  scoped: ${statement.text}`)
  }
  return !('failed' in raw)
}

const DIFFERENT = 'different'

/** How the two walls compare; every class but the equal ones is explained in the report. */
function classOf({ scoped, raw, isSettled, isOrdered }: Comparison, { sql }: Found): string {
  if (sameOutcome(scoped, raw)) {
    if ('failed' in scoped) return 'fail alike'
    const isKept = sameOrder(scoped, raw) || !isOrdered || !/\border\s+by\b/i.test(sql)
    return isKept ? 'equal' : 'equal, in another order'
  }
  if ('failed' in scoped && 'failed' in raw) return `fail differently: ${scoped.failed}, raw ${raw.failed}`
  if ('failed' in raw && raw.failed === '42501' && /\bon\s+conflict\b/i.test(sql))
    return 'conflict with a row out of reach'
  if ('failed' in raw) return `only the raw one fails: ${raw.failed}`
  if ('failed' in scoped) return `only the scoped one fails: ${scoped.failed}`
  if (BY_CHANCE.test(sql)) return 'by the clock or by chance'
  return isSettled ? DIFFERENT : 'the raw one has another result when its rows lie in another order'
}

const BY_CHANCE =
  /\b(?:now|today|current_(?:date|time|timestamp)|localtime(?:stamp)?|\w+_timestamp|random\w*|uuidv?\d)\b/i

function told(outcome: Comparison['raw']): string {
  return JSON.stringify(outcome).slice(0, 600)
}

function show({ file, line, sql }: Found): string {
  return `${file}:${line} ${sql.replaceAll(/\s+/g, ' ').trim().slice(0, 260)}`
}
