import { parentPort, workerData } from 'node:worker_threads'
import { readMutants } from './bundle.ts'
import { type SurveyedTest, testFiles, Trials } from './trials.ts'

/** Tries the mutants that it is told, one at a time; `ticks[0]` counts the tests that were begun. */
const { files, ticks } = workerData as { files: readonly string[]; ticks: Int32Array<SharedArrayBuffer> }
if (parentPort === null) throw new Error('this is a worker')
const port = parentPort

const trials = await Trials.prepare(readMutants(files), testFiles(), () => void Atomics.add(ticks, 0, 1))
port.on('message', (message: { survey: true } | { mutant: number; tests: readonly SurveyedTest[] }) => {
  void answer(message)
})
port.postMessage({ digest: trials.digest, firsts: trials.firsts })

async function answer(message: { survey: true } | { mutant: number; tests: readonly SurveyedTest[] }): Promise<void> {
  port.postMessage('survey' in message ? await trials.survey() : await trials.run(message.mutant, message.tests))
}
