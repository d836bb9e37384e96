/**
 * Generated statements through the first wall alone and row-level security alone, for as long as asked:
 *
 *   npm run fuzz -- --statements 200000 --seed 7 --minutes 30 --texts 100000 --report
 *
 * A run is told by its seed and may be broken off: what it has found is in `.fuzz/`, and the next call with that seed goes
 * on from there. What fails is shrunk and kept in `corpus/`, which the suite replays. With `--report` it writes
 * docs/reports/fuzz.md.
 */
import { type ChildProcess, execFileSync, fork } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { ConnectionAddress } from '../../../../src/core/database/connection-target.ts'
import { loadKernel } from '../../../../src/core/scope/scope.ts'
import { connect, makeDatabase, startBackends } from '../../../backends.ts'
import { DATABASES, type DatabaseName, type Open } from './arena.ts'
import { campaign, emptyTally, merge, type Tally } from './campaign.ts'
import { type Failure, replay, shrunk } from './failure.ts'
import { isFailure } from './judge.ts'
import { torment } from './limits.ts'
import { reportOf } from './report.ts'

const root = new URL('../../../../', import.meta.url)
/** Processes, and so connections that are busy at once. */
const WORKERS = 2
/** Statements that share a world: to make one costs as much as some hundred of them. */
const WORLD_SIZE = 1_000
/** Failures that are shrunk in one run: more of them tell little more. */
const MOST_SHRUNK = 10
/** Random texts before what came of them is kept. */
const TEXTS_AT_ONCE = 5_000
/** How often it says where it is, in milliseconds. */
const PROGRESS_MS = 15_000

/** What a run knows when it is broken off. */
export type Run = {
  readonly seed: number
  /** what was checked out, when more than one call made it */
  readonly commits: readonly string[]
  /** number of the next world */
  next: number
  tally: Tally
  failures: Failure[]
  /** time at work, in seconds, all breaks left out */
  seconds: number
  limits: { texts: number; scoped: number; refused: Record<string, number> }
}

type Task = { readonly seed: number; readonly number: number }
type Result = { readonly tally: Tally; readonly failures: readonly Failure[] }
type Setup = { readonly targets: Readonly<Record<DatabaseName, ConnectionAddress>> }

if (process.send === undefined) await main()
else process.on('SIGINT', () => undefined).on('message', work)

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      statements: { type: 'string', default: '200000' },
      seed: { type: 'string', default: String(Date.now() % 100_000) },
      minutes: { type: 'string', default: '600' },
      texts: { type: 'string', default: '0' },
      report: { type: 'boolean', default: false },
    },
  })
  const run = resumed(Number(values.seed))
  const most = Number(values.statements)
  let until = performance.now() + Number(values.minutes) * 60_000
  // whoever breaks it off waits for the worlds at work, and leaves no server behind
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => (until = 0))
  console.log(`seed ${run.seed}, from world ${run.next}: ${most} statements, at most ${values.minutes} minutes`)
  const hasTime = (): boolean => performance.now() < until
  await withDatabases(async (targets) => {
    const drives = targets.map((each) => drive(run, most, hasTime, each))
    await Promise.all([...drives, torture(run, Number(values.texts), hasTime)])
    await judgeAgain(run, targets[0] as Setup['targets'])
    await keepFailures(run, targets[0] as Setup['targets'])
  })
  save(run)
  console.log(`\nseed ${run.seed}: ${JSON.stringify(run.tally, undefined, 1)}`)
  if (values.report) writeFileSync(pathOf('docs/reports/fuzz.md'), reportOf(run))
  process.exitCode = run.failures.length === 0 && run.tally.statements + run.limits.texts > 0 ? 0 : 1
}

/** An embedded PostgreSQL with three databases for each process; gone when the work is done. */
async function withDatabases(work: (targets: readonly Setup['targets'][]) => Promise<void>): Promise<void> {
  const embedded = (await startBackends()).filter(({ name }) => name === 'embedded')
  try {
    const setup = embedded[0]?.setup
    if (setup === undefined || 'skipped' in setup) throw new Error('the embedded PostgreSQL did not start')
    const targets: Setup['targets'][] = []
    for (let worker = 0; worker < WORKERS; worker++) {
      const database = (name: DatabaseName): string => `fuzz_${worker}_${name}`
      for (const name of DATABASES) await makeDatabase(setup, database(name))
      const at = (name: DatabaseName): ConnectionAddress => ({ ...setup.superuser, database: database(name) })
      targets.push({ full: at('full'), narrow: at('narrow'), alone: at('alone') })
    }
    await work(targets)
  } finally {
    for (const backend of embedded) await backend.stop()
  }
}

/** Gives worlds to one process until there are enough. */
async function drive(run: Run, most: number, hasTime: () => boolean, targets: Setup['targets']): Promise<void> {
  const child = fork(fileURLToPath(import.meta.url), { execArgv: ['--import', 'tsx'] })
  const started = performance.now()
  let last = started
  let said = started
  try {
    child.send({ targets } satisfies Setup)
    while (run.next * WORLD_SIZE < most && hasTime()) {
      const { tally, failures } = await ask(child, { seed: run.seed, number: run.next++ })
      merge(run.tally, tally)
      run.failures.push(...failures)
      for (const { from, found } of failures) console.log(`${found.className} ${from}: ${found.detail.slice(0, 300)}`)
      const now = performance.now()
      run.seconds += (now - last) / 1000 / WORKERS
      last = now
      save(run)
      if (now - said < PROGRESS_MS) continue
      said = now
      console.log(progress(run))
    }
  } finally {
    child.kill()
  }
}

function progress({ tally, next, seconds, failures }: Run): string {
  const admitted = tally.statements - (tally.classes['refused'] ?? 0)
  const share = ((100 * admitted) / tally.statements).toFixed(1)
  return `${tally.statements} statements, ${next} worlds, ${share} % admitted, ${failures.length} failures, ${Math.round(tally.statements / seconds)} a second`
}

function ask(child: ChildProcess, task: Task): Promise<Result> {
  return new Promise((resolve, reject) => {
    const ended = (code: number | null): void =>
      reject(new Error(`the process for world ${task.number} ended with ${code}`))
    child.once('exit', ended)
    child.once('message', (message) => {
      child.off('exit', ended)
      resolve(message as Result)
    })
    child.send(task)
  })
}

let open: Open | undefined

/** In a process of its own: where the databases are, then worlds to judge. */
async function work(message: Setup | Task): Promise<void> {
  if ('targets' in message) {
    open = (name) => connect(message.targets[name])
    return
  }
  await loadKernel()
  if (open === undefined) throw new TypeError('told where the databases are first')
  const failures: Failure[] = []
  const tally = await campaign({ ...message, count: WORLD_SIZE, open, onFailure: (failure) => failures.push(failure) })
  process.send?.({ tally, failures } satisfies Result)
}

/** What failed in an earlier call, and what this one knows a class of, or the kernel now does as it should. */
async function judgeAgain(run: Run, targets: Setup['targets']): Promise<void> {
  await loadKernel()
  const failures = run.failures
  run.failures = []
  for (const failure of failures) {
    const verdict = await replay(failure, (name) => connect(targets[name]))
    if (isFailure(verdict)) run.failures.push(failure)
    const { classes } = run.tally
    classes[failure.found.className] = (classes[failure.found.className] ?? 0) - 1
    classes[verdict.className] = (classes[verdict.className] ?? 0) + 1
  }
}

async function keepFailures(run: Run, targets: Setup['targets']): Promise<void> {
  for (const failure of run.failures.slice(0, MOST_SHRUNK)) {
    const small = await shrunk(failure, (name) => connect(targets[name]))
    const path = pathOf(`test/core/scope/oracle/corpus/${small.from.replaceAll(/\W+/g, '-')}.json`)
    writeFileSync(path, `${JSON.stringify(small, undefined, 1)}\n`)
    console.log(`${path}\n  ${small.found.className}: ${small.found.detail}\n  ${small.statement.text}`)
  }
}

/** Random texts, some at a time. */
async function torture(run: Run, texts: number, hasTime: () => boolean): Promise<void> {
  while (run.limits.texts < texts && hasTime()) {
    const part = Math.min(TEXTS_AT_ONCE, texts - run.limits.texts)
    const { scoped, refused } = await torment(run.seed + run.limits.texts, part)
    run.limits.texts += part
    run.limits.scoped += scoped
    for (const [code, number] of Object.entries(refused))
      run.limits.refused[code] = (run.limits.refused[code] ?? 0) + number
    save(run)
    console.log(`${run.limits.texts} random texts: no crash, no hang`)
  }
}

function pathOf(name: string): string {
  return fileURLToPath(new URL(name, root))
}

/** What an earlier call with this seed has found, or nothing yet. */
function resumed(seed: number): Run {
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: root }).toString().trim()
  const path = pathOf(`.fuzz/seed-${seed}.json`)
  const limits = { texts: 0, scoped: 0, refused: {} }
  const fresh = { seed, commits: [], next: 0, tally: emptyTally(), failures: [], seconds: 0, limits }
  const run = existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Run) : fresh
  return { ...run, commits: [...new Set([...run.commits, commit])] }
}

function save(run: Run): void {
  mkdirSync(pathOf('.fuzz'), { recursive: true })
  writeFileSync(pathOf(`.fuzz/seed-${run.seed}.json`), JSON.stringify(run))
}
