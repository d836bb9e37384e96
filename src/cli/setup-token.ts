import { type Command, readArguments } from './command.ts'

const help = `holdfast setup-token: make a one-time token for a further tenant and its owner

Give the token to POST /v1/setup; it works once, and each new one ends the one before. For the embedded database
\`holdfast serve\` must be running on the data directory.

  --data-dir DIR   folder of the embedded PostgreSQL   HOLDFAST_DATA_DIR   .holdfast
  --config FILE    configuration file
  --json           print {"token": …}

With DATABASE_URL set, HOLDFAST_IDENTITY_URL and HOLDFAST_KEY are needed as for \`serve\`.`

/** `holdfast setup-token`. */
export const setupToken: Command = {
  help,
  async run(args, { out, environment, directory }) {
    const { values } = readArguments(args, {
      'data-dir': { type: 'string' },
      config: { type: 'string' },
      json: { type: 'boolean' },
    })
    const { config: file, json, ...flags } = values
    const { loadConfig } = await import('../service/config.ts')
    const config = await loadConfig({ flags, environment, directory, ...(file === undefined ? {} : { file }) })
    const { runningEmbedded } = await import('../core/database/embedded-target.ts')
    const { createPool } = await import('../core/database/pool.ts')
    const { issueSetupToken } = await import('../service/identity/setup.ts')
    const { database } = config
    const connection =
      database.kind === 'embedded' ? runningEmbedded(database.dataDirectory) : { url: database.identityUrl }
    const pool = await createPool({ connection, size: 1, applicationName: 'holdfast setup-token' })
    try {
      const token = await issueSetupToken({ pool, settings: config.identity }, true)
      out(json === true ? JSON.stringify({ token }) : String(token))
      return 0
    } finally {
      await pool.close()
    }
  },
}
