import { resolve } from 'node:path'
import type { Config } from '../service/config.ts'
import { type Command, readArguments, type Terminal } from './command.ts'

const help = `holdfast serve: run the service

Without DATABASE_URL it runs an embedded PostgreSQL in the data directory, and migrates it. With DATABASE_URL it
connects to your own, which you bring up to date with \`holdfast migrate\`.

  --port N           port of the API                              PORT                7070
  --host ADDRESS     address to listen on                         HOST                127.0.0.1
  --origin URL       origin of the pages that use the API         HOLDFAST_ORIGIN     http://localhost:PORT
  --data-dir DIR     folder of the embedded PostgreSQL            HOLDFAST_DATA_DIR   .holdfast
  --sign-up MODE     closed: by invitation only; open: anyone     HOLDFAST_SIGN_UP    closed
  --metrics-port N   loopback port of /metrics, or off            METRICS_PORT        9464
  --log-level LEVEL  fatal, error, warn, info, debug, trace       LOG_LEVEL           info
  --config FILE      configuration file                                               holdfast.config.ts, .mjs or .json

  DATABASE_URL           your database, as holdfast_app
  HOLDFAST_IDENTITY_URL  the same, as holdfast_identity
  HOLDFAST_KEY           32 random bytes in base64url

Flags win over the environment, the environment over the file. docs/configuration.md has all settings.`

/** Runs the service until SIGTERM or SIGINT. */
export const serve: Command = {
  help,
  async run(args, terminal) {
    const { values } = readArguments(args, {
      port: { type: 'string' },
      host: { type: 'string' },
      origin: { type: 'string' },
      'data-dir': { type: 'string' },
      'sign-up': { type: 'string' },
      'metrics-port': { type: 'string' },
      'log-level': { type: 'string' },
      config: { type: 'string' },
    })
    const { config: file, ...flags } = values
    const { loadConfig } = await import('../service/config.ts')
    const config = await loadConfig({
      flags,
      environment: terminal.environment,
      directory: terminal.directory,
      ...(file === undefined ? {} : { file }),
    })
    await run(config, terminal)
    return 0
  },
}

async function run(config: Config, terminal: Terminal): Promise<void> {
  const asked = signalled(terminal)
  const { createService } = await import('../service/service.ts')
  const { keepSetupToken, setupFile } = await import('../service/setup-file.ts')
  const { version } = await import('../service/version.ts')
  const service = await createService(config, { print: terminal.out, logTo: process.stderr })
  try {
    // before it listens, so that whoever waits for an answer finds the token
    const token = await service.setupToken()
    keepSetupToken(config.database.dataDirectory, token)
    const { url, metricsUrl } = await service.listen()
    const { embedded } = service.database
    terminal.out(`Holdfast ${version} listens on ${url}`)
    terminal.out(`  documentation  ${url}/docs`)
    if (metricsUrl !== undefined) terminal.out(`  metrics        ${metricsUrl}`)
    if (embedded !== undefined) {
      terminal.out(
        `  database       PostgreSQL ${embedded.version}, embedded in ${resolve(config.database.dataDirectory)}`,
      )
    }
    if (config.mail.smtp === undefined)
      terminal.out('  mail           printed here, secrets and all: set SMTP_URL to send it')
    if (token !== undefined) terminal.out(firstSteps(url, resolve(setupFile(config.database.dataDirectory))))
    await asked
    terminal.out('Stopping: requests under way may finish.')
  } finally {
    await service.stop()
  }
}

/** Resolves at the first signal; a second one ends the process at once. */
function signalled(terminal: Terminal): Promise<void> {
  return new Promise((resolveSignal) => {
    let count = 0
    const onSignal = (): void => {
      count++
      if (count === 1) return resolveSignal()
      terminal.err('Stopped at once.')
      process.exit(1)
    }
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, onSignal)
  })
}

/** What to paste: the token itself stays in its file, out of the log (CWE-532). */
function firstSteps(url: string, file: string): string {
  const owner = '"owner":{"email":"you@example.com","password":"at least fifteen characters","display_name":"You"}'
  return `
Nobody has an account yet. A one-time token, readable only by you, makes the first tenant and its owner:

  curl -s ${url}/v1/setup -H 'content-type: application/json' \\
    -d '{"token":"'"$(cat ${quote(file)})"'","tenant":{"slug":"acme","name":"Acme"},${owner}}'
`
}

/** For a POSIX shell. */
function quote(text: string): string {
  return /^[\w/.@-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}
