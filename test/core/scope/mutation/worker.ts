import { parentPort, workerData } from 'node:worker_threads'
import { loadKernel } from '../../../../src/core/scope/scope.ts'
import { readMutants } from './bundle.ts'
import { officeCallers, shopCallers } from './callers.ts'
import { type Damage, editsOfFaults, FaultTrials } from './fault-trials.ts'
import { faults } from './faults.ts'
import { isRewriters } from './report.ts'
import { type Outcome, type Survey, type SurveyedTest, testFiles, Trials } from './trials.ts'

/** What a worker is for: the tests against mutants, or a rewriter with faults over a corpus. */
export type Task =
  | { readonly kind: 'tests' }
  /** @see FaultTrials */
  | { readonly kind: 'seeded' | 'generated'; readonly texts: readonly string[] }

/** What it is asked: to look which tests reach what, to try a mutant, or one of the rewriter's faults. */
export type Question =
  | { readonly survey: true }
  | { readonly mutant: number; readonly tests: readonly SurveyedTest[] }
  | { readonly fault: number; readonly name: string; readonly most?: number }

/** What it says first of all. */
export type Greeting = {
  readonly digest: string
  /** by the number of a mutant: the first at its place */
  readonly firsts: readonly number[]
  /** of a corpus: the cases, those that are sent, the texts, and what is wrong with what is sent without a fault */
  readonly corpus?: {
    readonly cases: number
    readonly sent: number
    readonly texts: string[]
    readonly complaints: string[]
  }
}

const { files, ticks, task } = workerData as {
  files: readonly string[]
  /** `ticks[0]` counts what was begun: whoever watches sees that one thing takes long */
  ticks: Int32Array<SharedArrayBuffer>
  task: Task
}
if (parentPort === null) throw new Error('this is a worker')
const port = parentPort
const tick = (): void => void Atomics.add(ticks, 0, 1)
const ask = task.kind === 'tests' ? await tests() : await sowing(task)

port.on('message', (question: Question) => {
  void ask(question).then((answer) => port.postMessage(answer))
})

async function tests(): Promise<(question: Question) => Promise<Survey | Outcome>> {
  const trials = await Trials.prepare(readMutants(files), testFiles(), tick)
  greet({ digest: trials.digest, firsts: trials.firsts })
  return (question) => {
    if ('survey' in question) return trials.survey()
    if ('mutant' in question) return trials.run(question.mutant, question.tests)
    throw new Error('that is not what this worker is for')
  }
}

async function sowing({
  kind,
  texts,
}: Exclude<Task, { kind: 'tests' }>): Promise<(question: Question) => Promise<Damage>> {
  await loadKernel()
  const edits = kind === 'seeded' ? editsOfFaults(faults) : readMutants(files).filter(({ file }) => isRewriters(file))
  const trials = await FaultTrials.prepare(edits, texts, [...officeCallers, ...shopCallers], kind === 'generated', tick)
  const corpus = { cases: trials.size, sent: trials.sent, texts: trials.texts, complaints: trials.complaints() }
  greet({ digest: trials.digest, firsts: [], corpus })
  return (question) => {
    if (!('fault' in question)) throw new Error('that is not what this worker is for')
    return Promise.resolve(trials.run(question.fault, question.name, question.most))
  }
}

function greet(greeting: Greeting): void {
  port.postMessage(greeting)
}
