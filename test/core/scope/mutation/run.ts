/**
 * Mutation testing of the kernel: each mutant is one change of its source, and a mutant that no test notices is a test
 * that is missing – or a change that changes nothing, which is then said in equivalents.ts.
 *
 *   npm run long -- mutation                           all of it, and docs/reports/mutation.md
 *   npm run long -- mutation --files prover/walk.ts    some files, and no report
 *   npm run long -- mutation --faults                  the rewriter's faults alone, and no report
 *   npm run long -- mutation --cases 100               tries each mutant of the rewriter on fewer statements
 *   npm run long -- mutation --afresh                  forgets what earlier runs found
 *
 * What was found is kept in node_modules/.cache: a run that was stopped goes on. A mutant that was killed is tried again
 * when its file has changed, one that survived whenever anything has.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'
import { loadKernel } from '../../../../src/core/scope/scope.ts'
import { kernel, mutatedFiles, readMutants } from './bundle.ts'
import { corpusOf } from './corpus.ts'
import { equivalents } from './equivalents.ts'
import type { Damage } from './fault-trials.ts'
import { faults } from './faults.ts'
import type { Mutant } from './instrument.ts'
import { type Found, isRewriters, openOf, reportOf, type Results, scoreOf } from './report.ts'
import type { Outcome, Survey, SurveyedTest } from './trials.ts'
import type { Greeting, Question, Task } from './worker.ts'

/** Processor time within one test after which a mutant goes on without end; the slowest needs a fifth of a second. */
const ENDLESS_MILLIS = 8_000
/** A fault of the prover's tests is tried on two dozen statements: too much for what is no part of the prover. */
const COSTLY_MILLIS = 12
/** Mutants between two looks whether the tests still pass with none. */
const CHECKED_EVERY = 400
/** Of a run over some files: the rewriter's faults are not tried then. */
const nothing = { corpus: { cases: 0, sent: 0, thinned: 0 }, seeded: [], generated: [], most: 0 }

const { values: options } = parseArgs({
  options: {
    files: { type: 'string' },
    afresh: { type: 'boolean', default: false },
    faults: { type: 'boolean', default: false },
    workers: { type: 'string', default: '1' },
    // statements that a mutant of the rewriter is tried on at most: a seeded fault has all of them
    cases: { type: 'string', default: '400' },
  },
})
const cache = fileURLToPath(new URL('../../../../node_modules/.cache/holdfast-mutation.json', import.meta.url))
const workerCount = Number(options.workers)
const chosen = options.files?.split(',')
const files = mutatedFiles()
const mutants = readMutants(files)
const digests = new Map(files.map((file) => [file, digestOf(readFileSync(join(kernel, file), 'utf8'))] as const))

/** A worker, and the watch over it. */
class Watched {
  readonly #ticks = new Int32Array(new SharedArrayBuffer(4))
  readonly #task: Task
  #worker: Worker
  greeting: Greeting = { digest: '', firsts: [] }

  constructor(task: Task = { kind: 'tests' }) {
    this.#task = task
    this.#worker = this.#start()
  }

  #start(): Worker {
    // a worker of Node's own knows nothing of TypeScript until it is told
    const start = `import('tsx/esm/api').then(({ register }) => { register(); return import(${JSON.stringify(new URL('worker.ts', import.meta.url).href)}) })`
    return new Worker(start, {
      eval: true,
      workerData: { files, ticks: this.#ticks, task: this.#task },
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: 1_500, stackSizeMb: 4 },
    })
  }

  async ready(): Promise<void> {
    const greeting = await this.#next<Greeting>()
    if (greeting === undefined) throw new Error('the worker does not start')
    // numbers of mutants mean nothing in another source
    const { digest } = this.greeting
    if (digest !== '' && digest !== greeting.digest) throw new Error('the source has changed')
    this.greeting = greeting
  }

  /** @returns nothing where the worker went on without end, or ran out of memory */
  async ask<T>(question: Question, isWatched = true): Promise<T | undefined> {
    this.#worker.postMessage(question)
    const answer = await this.#next<T>(isWatched)
    if (answer === undefined) await this.restart()
    return answer
  }

  async restart(): Promise<void> {
    await this.#worker.terminate()
    this.#worker = this.#start()
    await this.ready()
  }

  end(): Promise<number> {
    return this.#worker.terminate()
  }

  #next<T>(isWatched = false): Promise<T | undefined> {
    const worker = this.#worker
    return new Promise((resolve, reject) => {
      let seen = -1
      let since = process.cpuUsage()
      const watch = setInterval(() => {
        const now = Atomics.load(this.#ticks, 0)
        const { user, system } = process.cpuUsage(since)
        if (now !== seen) {
          seen = now
          since = process.cpuUsage()
        } else if (isWatched && (user + system) / 1_000 > ENDLESS_MILLIS * workerCount) settle(undefined)
      }, 200)
      const settle = (answer: T | undefined): void => {
        clearInterval(watch)
        worker.off('message', settle).off('error', fail)
        resolve(answer)
      }
      const fail = (error: Error & { code?: string }): void => {
        if (error.code !== 'ERR_WORKER_OUT_OF_MEMORY') reject(error)
        settle(undefined)
      }
      worker.on('message', settle).on('error', fail)
    })
  }
}

const known = options.afresh || !existsSync(cache) ? {} : (JSON.parse(readFileSync(cache, 'utf8')) as State)
type State = { survey?: Survey & { digest: string }; found?: Record<string, Found>; digest?: string }

if (options.faults) {
  const { seeded, generated } = await sow()
  process.exit(tellHarm([...seeded, ...generated]))
}
const workers: [Watched, ...Watched[]] = [new Watched()]
await workers[0].ready()
const survey = await surveyOf(workers[0])
while (workers.length < workerCount) {
  const another = new Watched()
  another.greeting = workers[0].greeting
  await another.ready()
  workers.push(another)
}
const found = await tryAll()
for (const worker of workers) await worker.end()
await tell()

async function surveyOf(worker: Watched): Promise<Survey> {
  if (known.survey?.digest === worker.greeting.digest) return known.survey
  console.log(`looking which tests reach what: ${mutants.length} mutants`)
  const made = await worker.ask<Survey>({ survey: true }, false)
  if (made === undefined) throw new Error('the tests do not end without a mutant')
  if (made.failed.length > 0) throw new Error(`tests fail without a mutant:\n${made.failed.join('\n')}`)
  known.survey = { ...made, digest: worker.greeting.digest }
  return made
}

async function tryAll(): Promise<Record<string, Found>> {
  const results: Record<string, Found> = {}
  const kills = new Map<string, number>()
  const reachedBy = reachers()
  const started = performance.now()
  const open = mutants.flatMap((mutant, index) => {
    if (chosen !== undefined && !chosen.includes(mutant.file)) return []
    const before = known.found?.[mutant.key]
    const isCertain =
      before?.status === 'killed' || before?.status === 'endless' || known.digest === workers[0].greeting.digest
    if (before === undefined || before.of !== digests.get(mutant.file) || !isCertain) return [index]
    results[mutant.key] = before
    return []
  })
  let tried = 0
  const tryOn = async (worker: Watched): Promise<void> => {
    for (let index = open.shift(); index !== undefined; index = open.shift()) {
      const mutant = mutants[index] as Mutant
      const tests = reachedBy(worker.greeting.firsts[index + 1] ?? 0, mutant.file).toSorted(
        (a, b) => (kills.get(b.name) ?? 0) - (kills.get(a.name) ?? 0) || a.millis - b.millis,
      )
      const outcome = tests.length === 0 ? ({ status: 'unreached' } as const) : await tryOne(worker, index + 1, tests)
      results[mutant.key] = { ...outcome, of: digests.get(mutant.file) ?? '' }
      const name = tests.find((test) => `${test.file} ${test.name}` === results[mutant.key]?.by)?.name
      if (name !== undefined) kills.set(name, (kills.get(name) ?? 0) + 1)
      if (++tried % CHECKED_EVERY !== 0) continue
      await check(worker)
      save(results)
      const seconds = Math.round((performance.now() - started) / 1_000)
      console.log(`${open.length} to go, ${seconds} s: ${summary(Object.values(results))}`)
    }
    await check(worker)
  }
  await Promise.all(workers.map(tryOn))
  save(results)
  return results
}

async function tryOne(worker: Watched, mutant: number, tests: readonly SurveyedTest[]): Promise<Omit<Found, 'of'>> {
  const outcome = await worker.ask<Outcome>({ mutant, tests })
  return outcome ?? { status: 'endless' }
}

/** What is called killed must be the mutant's doing: with none, the tests pass, in this very worker. */
async function check(worker: Watched): Promise<void> {
  const outcome = await worker.ask<Outcome>({ mutant: 0, tests: survey.tests })
  if (outcome?.status !== 'survived') throw new Error(`fails without a mutant: ${outcome?.by ?? 'does not end'}`)
}

/** Tests by the place that they reach; a place that the evaluation of a file reaches counts for all tests of it. */
function reachers(): (first: number, file: string) => SurveyedTest[] {
  const atLoading = new Map(Object.entries(survey.atLoading).map(([file, hits]) => [file, new Set(hits)] as const))
  const direct = survey.tests.map((test) => [test, new Set(test.hits)] as const)
  return (first, file) => {
    const isCheap = (test: SurveyedTest): boolean =>
      test.millis < COSTLY_MILLIS || !test.file.startsWith('prover/') || /^(?:prover\/|shapes|grammar)/.test(file)
    return direct
      .filter(([test, hits]) => isCheap(test) && (hits.has(first) || atLoading.get(test.file)?.has(first) === true))
      .map(([test]) => test)
  }
}

function save(results: Record<string, Found>): void {
  mkdirSync(dirname(cache), { recursive: true })
  const state: State = { ...known, found: { ...known.found, ...results }, digest: workers[0].greeting.digest }
  writeFileSync(`${cache}.new`, JSON.stringify(state))
  renameSync(`${cache}.new`, cache)
}

function summary(results: readonly Found[]): string {
  const count = (status: Found['status']): number => results.filter((one) => one.status === status).length
  return `${count('killed')} killed, ${count('endless')} without end, ${count('survived')} survived, ${count('unreached')} reached by no test`
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16)
}

async function tell(): Promise<void> {
  const parts = { mutants, found, equivalents, tests: survey.tests.length }
  if (chosen !== undefined) {
    for (const { line, key } of openOf({ ...parts, ...nothing })) console.log(`${found[key]?.status} ${line} ${key}`)
    console.log(summary(Object.values(found)))
    return
  }
  const results: Results = { ...parts, ...(await sow()), most: Number(options.cases) }
  const stale = Object.keys(equivalents).filter((key) => !mutants.some((mutant) => mutant.key === key))
  if (stale.length > 0) console.log(`equivalents.ts, no longer there or killed:\n${stale.join('\n')}`)
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD']).toString().trim()
  const made = `made by \`npm run long -- mutation\` at ${new Date().toISOString().slice(0, 10)}, on commit ${commit}, Node ${process.versions.node}`
  const [all, prover] = [scoreOf(results, () => true), scoreOf(results, (file) => file.startsWith('prover/'))]
  const damages = [...results.seeded, ...results.generated]
  const changes = damages.flatMap((damage) => damage.changes)
  const harm = tellHarm(damages)
  const share = (value: number): string => `${(value * 100).toFixed(1)}%`
  const lines = [
    '# mutation',
    '',
    `${made}.`,
    '',
    `- kernel: ${share(all.score)} of ${mutants.length} mutants killed (raw ${share(all.raw)}); the prover alone: ${share(prover.score)} (raw ${share(prover.raw)})`,
    `- ${results.seeded.length} seeded faults and ${results.generated.length} mutants of the rewriter: of ${changes.length} outcomes that changed ${harm} did harm`,
    '',
    ...reportOf(results),
  ]
  writeFileSync(fileURLToPath(new URL('../../../../docs/reports/mutation.md', import.meta.url)), lines.join('\n'))
  console.log(lines.slice(2, 7).join('\n'))
  if (harm > 0 || all.score < 0.95 || prover.score < 0.95) process.exitCode = 1
}

/** @returns how many statements were sent that do harm: there is none, or the prover has a fault */
function tellHarm(damages: readonly Damage[]): number {
  let count = 0
  for (const { name, changes } of damages) {
    for (const { fate, text, caller, why, final } of changes) {
      if (fate !== 'harmful') continue
      if (count++ < 30) console.log(`HARMFUL ${name}\n${caller}: ${text}\n${why}\n${final}\n`)
    }
  }
  const sent = damages.flatMap(({ changes }) => changes).length
  console.log(`${damages.length} faults changed ${sent} outcomes, of which ${count} do harm`)
  return count
}

/** The rewriter's faults, seeded and generated, over the corpus. */
async function sow(): Promise<Pick<Results, 'corpus' | 'seeded' | 'generated'>> {
  await loadKernel()
  const texts = await corpusOf()
  const rewriters = mutants.filter(({ file }) => isRewriters(file))
  console.log(
    `${faults.length} seeded faults and ${rewriters.length} mutants of the rewriter, ${texts.length} statements`,
  )
  const many = new Watched({ kind: 'generated', texts })
  await many.ready()
  const thinned = corpusIn(many)
  const generated = await damagesOf(many, rewriters, Number(options.cases))
  await many.end()
  const few = new Watched({ kind: 'seeded', texts: thinned.texts })
  await few.ready()
  const { cases, sent } = corpusIn(few)
  const seeded = await damagesOf(
    few,
    faults.map(({ name }) => ({ key: name, file: '' })),
  )
  await few.end()
  return { corpus: { cases, sent, thinned: thinned.cases }, seeded, generated }
}

function corpusIn({ greeting }: Watched): NonNullable<Greeting['corpus']> {
  const { corpus } = greeting
  if (corpus === undefined) throw new Error('the worker has no corpus')
  if (corpus.complaints.length > 0) throw new Error(`not confined without a fault: ${corpus.complaints[0]}`)
  return corpus
}

async function damagesOf(
  worker: Watched,
  sown: readonly { readonly key: string; readonly file: string }[],
  most?: number,
): Promise<(Damage & { readonly file: string })[]> {
  const damages: (Damage & { readonly file: string })[] = []
  for (const [index, { key: name, file }] of sown.entries()) {
    const damage = await worker.ask<Damage>({ fault: index + 1, name, ...(most === undefined ? {} : { most }) })
    damages.push({ ...(damage ?? { name, changes: [], isEndless: true }), file })
    if (index % CHECKED_EVERY === 0) console.log(`${index + 1} of ${sown.length} faults of the rewriter`)
  }
  return damages
}
