/**
 * What takes longer than `npm test` may: the same tests, more of everything.
 *
 *   npm run long                 lists them
 *   npm run long -- kills        runs one, and writes its report to docs/reports/kills.md
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

type LongRun = { readonly file: string; readonly environment: Readonly<Record<string, string>>; readonly what: string }
/** A program with options of its own, which writes its report itself. */
type Program = { readonly program: string; readonly what: string }

const runs: Readonly<Record<string, LongRun>> = {
  cuts: {
    file: 'test/cockroach-standin/cuts.test.ts',
    environment: { HOLDFAST_CUTS: 'all' },
    what: 'transactions of eight shapes with explicit BEGIN and COMMIT, cut before and after each message of either side: none by half, none lost that was acknowledged, ambiguous only where COMMIT was on its way',
  },
  kills: {
    file: 'test/proofs/sigkill.test.ts',
    environment: { HOLDFAST_KILLS: '20' },
    what: '20 times SIGKILL amid writes; every acknowledged write is there, none by half',
  },
  repeats: {
    file: 'test/proofs/idempotency.test.ts',
    environment: { HOLDFAST_REPEATS: '5000' },
    what: '5,000 writes under a key each, by two processes whose connections are cut: none twice, none acknowledged lost',
  },
  faults: {
    file: 'test/proofs/faults.test.ts',
    environment: { HOLDFAST_FAULT_WRITES: '10000' },
    what: '10,000 writes by two nodes whose database is killed, choked, cut, stalled: none acknowledged lost, none twice, no callers mixed up',
  },
  'migrate-kills': {
    file: 'test/core/database/migrate-kill.test.ts',
    environment: { HOLDFAST_MIGRATE_KILLS: '6' },
    what: 'holdfast migrate killed in the middle, at each statement; the next run does the rest, each statement once',
  },
  mutants: {
    file: 'test/core/scope/prover/mutants.test.ts',
    environment: { HOLDFAST_MUTANTS: '60000' },
    what: 'mutilated final texts: what the prover still proves does the same in two worlds that differ out of reach',
  },
}

const programs: Readonly<Record<string, Program>> = {
  mutation: {
    program: 'test/core/scope/mutation/run.ts',
    what: 'mutation testing of the kernel; a rewriter with faults against the prover',
  },
}

type Report = {
  numPassedTests: number
  numFailedTests: number
  success: boolean
  testResults: { assertionResults: { title: string; status: string; duration?: number }[] }[]
}

const root = fileURLToPath(new URL('../', import.meta.url))
const [name = '', ...others] = process.argv.slice(2)
const run = Object.hasOwn(runs, name) ? runs[name] : undefined
const program = Object.hasOwn(programs, name) ? programs[name]?.program : undefined
if (program !== undefined) {
  process.exitCode = spawnSync('npx', ['tsx', program, ...others], { cwd: root, stdio: 'inherit' }).status ?? 1
} else if (run === undefined) {
  for (const [key, { what }] of Object.entries({ ...runs, ...programs })) console.log(`${key.padEnd(8)} ${what}`)
  process.exitCode = name === '' ? 0 : 2
} else {
  process.exitCode = execute(name, run)
}

function execute(title: string, { file, environment, what }: LongRun): number {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-long-'))
  const output = join(directory, 'report.json')
  try {
    const started = performance.now()
    spawnSync(
      'npx',
      [
        'vitest',
        'run',
        file,
        '--testTimeout=10800000',
        '--reporter=default',
        '--reporter=json',
        `--outputFile.json=${output}`,
      ],
      {
        cwd: root,
        env: { ...process.env, ...environment },
        stdio: 'inherit',
      },
    )
    const seconds = Math.round((performance.now() - started) / 1000)
    const report = JSON.parse(readFileSync(output, 'utf8')) as Report
    const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: root }).toString().trim()
    const tests = report.testResults.flatMap(({ assertionResults }) => assertionResults)
    mkdirSync(join(root, 'docs/reports'), { recursive: true })
    writeFileSync(
      join(root, `docs/reports/${title}.md`),
      [
        `# ${title}`,
        '',
        `${what}.`,
        '',
        `- made by \`npm run long -- ${title}\` at ${new Date().toISOString().slice(0, 10)}, on commit ${commit}, Node ${process.versions.node}`,
        `- took ${seconds} s; ${report.numPassedTests} passed, ${report.numFailedTests} failed`,
        '',
        ...tests.map((test) => `- ${test.status}: ${test.title}`),
        '',
      ].join('\n'),
    )
    return report.success && report.numPassedTests > 0 ? 0 : 1
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}
