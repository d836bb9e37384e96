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
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { ConnectionAddress } from '../../../../src/core/database/connection-target.ts'
import { loadKernel } from '../../../../src/core/scope/scope.ts'
import { connect, makeDatabase, startBackends } from '../../../backends.ts'
import { DATABASES, type DatabaseName, type Open } from './arena.ts'
import { campaign, emptyTally, merge, type Tally } from './campaign.ts'
import { type Failure, shrunk } from './failure.ts'
import { torment } from './limits.ts'
import { reportOf } from './report.ts'

/** Processes, and so connections that are busy at once. */
const WORKERS = 2
/** Statements that share a world: to make one costs as much as some hundred of them. */
const WORLD_SIZE = 1_000
/** Failures that are shrunk in one run: more of them tell little more. */
const MOST_SHRUNK = 10
/** How often it says where it is, in milliseconds. */
const PROGRESS_MS = 15_000

/** What a run knows when it is broken off. */
export type Run = {
  readonly seed: number
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
  const embedded = (await startBackends()).filter(({ name }) => name === 'embedded')
  try {
    const [backend] = embedded
    if (backend === undefined || 'skipped' in backend.setup) throw new Error('the embedded PostgreSQL did not start')
    const { setup } = backend
    const targets: Setup['targets'][] = []
    for (let worker = 0; worker < WORKERS; worker++) {
      const target = (name: DatabaseName): string => `fuzz_${worker}_${name}`
      for (const name of DATABASES) await makeDatabase(setup, target(name))
      const at = (name: DatabaseName): ConnectionAddress => ({ ...setup.superuser, database: target(name) })
      targets.push({ full: at('full'), narrow: at('narrow'), alone: at('alone') })
    }
    await Promise.all(targets.map((each) => drive(run, most, () => performance.now() < until, each)))
    await keepFailures(run, targets[0] as Setup['targets'])
    await torture(run, Number(values.texts))
  } finally {
    for (const backend of embedded) await backend.stop()
  }
  save(run)
  console.log(`\nseed ${run.seed}: ${JSON.stringify(run.tally, undefined, 1)}`)
  if (values.report) {
    const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD']).toString().trim()
    const path = fileURLToPath(new URL('../../../../docs/reports/fuzz.md', import.meta.url))
    writeFileSync(path, reportOf(run, commit))
  }
  process.exitCode = run.failures.length === 0 && run.tally.statements > 0 ? 0 : 1
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

async function keepFailures(run: Run, targets: Setup['targets']): Promise<void> {
  await loadKernel()
  const corpus = fileURLToPath(new URL('corpus/', import.meta.url))
  for (const failure of run.failures.slice(0, MOST_SHRUNK)) {
    const small = await shrunk(failure, (name) => connect(targets[name]))
    const path = `${corpus}${small.from.replaceAll(/\W+/g, '-')}.json`
    writeFileSync(path, `${JSON.stringify(small, undefined, 1)}\n`)
    console.log(`${path}\n  ${small.found.className}: ${small.found.detail}\n  ${small.statement.text}`)
  }
}

/** Random texts, a part of 10,000 at a time. */
async function torture(run: Run, texts: number): Promise<void> {
  while (run.limits.texts < texts) {
    const part = Math.min(10_000, texts - run.limits.texts)
    const { scoped, refused } = await torment(run.seed + run.limits.texts, part)
    run.limits.texts += part
    run.limits.scoped += scoped
    for (const [code, number] of Object.entries(refused))
      run.limits.refused[code] = (run.limits.refused[code] ?? 0) + number
    save(run)
    console.log(`${run.limits.texts} random texts: no crash, no hang`)
  }
}

function pathOf(seed: number): string {
  return fileURLToPath(new URL(`../../../../.fuzz/seed-${seed}.json`, import.meta.url))
}

function resumed(seed: number): Run {
  try {
    return JSON.parse(readFileSync(pathOf(seed), 'utf8')) as Run
  } catch {
    return {
      seed,
      next: 0,
      tally: emptyTally(),
      failures: [],
      seconds: 0,
      limits: { texts: 0, scoped: 0, refused: {} },
    }
  }
}

function save(run: Run): void {
  mkdirSync(fileURLToPath(new URL('../../../../.fuzz/', import.meta.url)), { recursive: true })
  writeFileSync(pathOf(run.seed), JSON.stringify(run))
}
