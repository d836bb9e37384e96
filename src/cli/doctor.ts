import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Manifest } from '../core/scope/manifest.ts'
import type { ServiceTargets } from '../service/inspection.ts'
import type { Finding } from '../tools/inspect/finding.ts'
import { type Command, readArguments, type Terminal, UsageError } from './command.ts'
import { jsonLine } from './json-line.ts'
import { onlyProven, proofFlags, proofForDoctor, tellProof } from './prove.ts'

const help = `holdfast doctor: say what is wrong with a database, why it matters, and what mends it

  --fix          print the statements that mend it as a migration; nothing is executed
  --config FILE  configuration file with the roles and the application
  --json         print the findings as JSON
  --prove        try row-level security as well, by statements that are rolled back: docs/proof.md. As holdfast_migrator,
                 by HOLDFAST_MIGRATOR_URL, all of it can be tried
  --prove-in-production  --prove, where the database is not one for development
  --with-triggers        --prove, writing to tables with triggers too

  DATABASE_URL           your database, as holdfast_app
  HOLDFAST_IDENTITY_URL  the same, as holdfast_identity
  HOLDFAST_MIGRATOR_URL  instead of both: as holdfast_migrator
  HOLDFAST_DATA_DIR      without any: the folder of the embedded database, while it does not run

\`serve\` judges by the same rules at every start. Exit code 1 when something is found. docs/doctor.md has every rule.`

/** `holdfast doctor` and `holdfast db doctor`. */
export const doctor: Command = {
  help,
  async run(args, terminal) {
    const { values } = readArguments(args, {
      fix: { type: 'boolean' },
      config: { type: 'string' },
      json: { type: 'boolean' },
      ...proofFlags,
    })
    if (values.fix === true && values.json === true) throw new UsageError('Give one of --fix and --json.')
    const manifest = await readManifest(values.config, terminal)
    const { inspectDatabase } = await import('../service/inspection.ts')
    const findings = await withTargets(terminal, (targets) => inspectDatabase(targets, manifest))
    const proof = await proofForDoctor(values, manifest.tables, terminal)
    const all = [...findings, ...(values.fix === true ? onlyProven(proof, findings) : (proof?.findings ?? []))]
    if (values.json === true) terminal.out(jsonLine({ findings: all, ...(proof === undefined ? {} : { proof }) }))
    else {
      if (proof !== undefined) await tellProof(proof, values.fix === true ? terminal.err : terminal.out)
      await tell(all, values.fix === true, terminal)
    }
    return all.length === 0 ? 0 : 1
  },
}

async function tell(findings: readonly Finding[], fix: boolean, { out, err, color }: Terminal): Promise<void> {
  const { asMigration, count, tellFindings } = await import('../tools/inspect/report.ts')
  for (const line of fix ? asMigration(findings) : tellFindings(findings, color)) out(line)
  const errors = findings.filter(({ level }) => level === 'error').length
  err(
    findings.length === 0
      ? 'Nothing is wrong with this database.'
      : `${count(errors, 'error')}, ${count(findings.length - errors, 'warning')}.`,
  )
}

async function readManifest(file: string | undefined, { environment, directory }: Terminal): Promise<Manifest> {
  const { loadSchema } = await import('../service/config.ts')
  const { hostedManifest } = await import('../service/application.ts')
  const { roles, application } = await loadSchema({ environment, directory, ...(file === undefined ? {} : { file }) })
  return hostedManifest(application, roles)
}

/** Your database by its URLs, or the embedded one, started for as long as it is looked at. @throws UsageError */
async function withTargets<Result>(
  { environment, directory, err }: Terminal,
  work: (targets: ServiceTargets) => Promise<Result>,
): Promise<Result> {
  const [app = '', identity = ''] = [environment['DATABASE_URL'], environment['HOLDFAST_IDENTITY_URL']]
  if (app !== '' && identity !== '') return work({ app: { url: app }, identity: { url: identity } })
  if (app !== '' || identity !== '')
    throw new UsageError('Set both DATABASE_URL and HOLDFAST_IDENTITY_URL, or neither.')
  const migrator = environment['HOLDFAST_MIGRATOR_URL'] ?? ''
  if (migrator !== '') return work({ migrator: { url: migrator } })
  const dataDirectory = resolve(directory, environment['HOLDFAST_DATA_DIR'] || '.holdfast')
  if (!existsSync(dataDirectory)) {
    throw new UsageError(
      'Set DATABASE_URL and HOLDFAST_IDENTITY_URL, or HOLDFAST_MIGRATOR_URL; there is no embedded database here either.',
    )
  }
  const { startEmbedded } = await import('../core/database/embedded.ts')
  const embedded = await startEmbedded({ dataDirectory, log: err })
  try {
    return await work({ app: embedded.target('app'), identity: embedded.target('identity') })
  } finally {
    await embedded.stop()
  }
}
