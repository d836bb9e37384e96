import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import pg from 'pg'
import { type Embedded, startEmbedded } from '../../src/core/database/embedded.ts'
import { migrate } from '../../src/core/database/migrate.ts'
import type { Row } from '../../src/core/database/statement.ts'
import { defaultRoles } from '../../src/service/tenancy/manifest.ts'

/** Marks have no key but one of their own: what is applied twice is there twice. */
const MIGRATION = `CREATE SCHEMA app
-- next
CREATE TABLE app.marks (
  tenant_id UUID NOT NULL,
  id UUID NOT NULL DEFAULT gen_random_uuid(),
  mark TEXT NOT NULL,
  canary TEXT NOT NULL,
  PRIMARY KEY (tenant_id, id)
)
-- next
CREATE TABLE app.canaries (tenant_id UUID NOT NULL, text TEXT NOT NULL, PRIMARY KEY (tenant_id, text))
${['marks', 'canaries']
  .map(
    (table) => `-- next
ALTER TABLE app.${table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY
-- next
CREATE POLICY tenant_isolation ON app.${table} FOR ALL TO PUBLIC
  USING (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID)
  WITH CHECK (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID)
`,
  )
  .join('')}-- next
GRANT USAGE ON SCHEMA app TO holdfast_app
-- next
GRANT SELECT, INSERT ON TABLE app.marks TO holdfast_app
-- next
GRANT SELECT ON TABLE app.canaries TO holdfast_app
`

const CONFIG = `import { routes } from './routes.ts'
const uuid = { type: 'uuid' }, text = { type: 'text' }
export default { application: { migrations: 'migrations', routes, manifest: {
  tables: [
    { schema: 'app', name: 'marks', resource: 'mark', tenant: 'tenant_id', columns: { tenant_id: uuid, id: uuid, mark: text, canary: text } },
    { schema: 'app', name: 'canaries', resource: 'canary', tenant: 'tenant_id', columns: { tenant_id: uuid, text } },
  ],
  roles: { owner: ['mark:read', 'mark:create', 'canary:read'] },
} } }
`

/** One flight with its COMMIT, a handler of several flights, and a read. */
const ROUTES = `import { body, can, sql } from 'holdfast/fastify'
import type { FastifyInstance } from 'fastify'
const schema = { body: { type: 'object', required: ['mark'], properties: { mark: { type: 'string' } } } }
const access = can('mark:create', 'mark:read', 'canary:read')
export async function routes(app: FastifyInstance): Promise<void> {
  app.post('/marks', { schema, config: { access,
    first: sql\`INSERT INTO marks (mark, canary) SELECT \${body('mark')}::TEXT, text FROM canaries RETURNING mark, canary\` } },
    async (request, reply) => { reply.code(201); return request.first.rows[0] })
  app.post('/marks/slowly', { schema, config: { access } }, async (request, reply) => {
    const { rows: [canary] } = await request.db.query(sql\`SELECT text FROM canaries\`)
    const { rows: [made] } = await request.db.query(sql\`INSERT INTO marks (mark, canary) VALUES (\${request.body.mark}, \${canary.text}) RETURNING mark, canary\`)
    reply.code(201)
    return made
  })
  app.get('/canary', { config: { access: can('canary:read'), first: sql\`SELECT text AS canary FROM canaries\` } },
    async (request) => request.first.rows[0])
}
`

/** A PostgreSQL of its own that can be killed, choked and made read-only. */
export type Cluster = {
  readonly directory: string
  readonly socket: { readonly host: string; readonly port: number }
  url(role: 'app' | 'identity', ports: readonly number[]): string
  /** Runs SQL as superuser on a connection of its own. */
  owner(sql: string, values?: readonly unknown[]): Promise<Row[]>
  /** Ends it by a signal of PostgreSQL's: SIGKILL – nothing is tidied up –, SIGQUIT – immediate –, SIGINT – fast. */
  end(signal: 'SIGKILL' | 'SIGQUIT' | 'SIGINT'): Promise<void>
  /** Starts it again; it recovers by itself. */
  start(): Promise<void>
  /** No file of it may grow past so many bytes, or – without a number – as before. Needs no privilege. */
  limitFiles(bytes?: number): void
  readonly isRunning: boolean
  close(): Promise<void>
}

export async function createCluster(): Promise<Cluster> {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-faults-'))
  // As root, PostgreSQL runs under another account, which must pass through.
  chmodSync(directory, 0o711)
  mkdirSync(join(directory, 'migrations'))
  writeFileSync(join(directory, 'migrations/0001-marks.sql'), MIGRATION)
  writeFileSync(join(directory, 'routes.ts'), ROUTES)
  writeFileSync(join(directory, 'holdfast.config.ts'), CONFIG)
  const log = (): void => undefined
  const open = (): Promise<Embedded> => startEmbedded({ dataDirectory: join(directory, 'data'), log })
  let embedded = await open()
  const { host, port } = embedded.target('app')
  const grants = {
    ...defaultRoles,
    owner: [...(defaultRoles['owner'] ?? []), 'mark:read', 'mark:create', 'canary:read'],
  }
  await migrate({
    target: embedded.target('migrator'),
    application: pathToFileURL(`${join(directory, 'migrations')}/`),
    roleGrants: grants,
  })
  const pidFile = join(directory, 'data/postgres/postmaster.pid')
  const postmaster = (): number => Number(readFileSync(pidFile, 'utf8').split('\n')[0])
  const isAlive = (pid: number): boolean => {
    try {
      process.kill(pid, 0)
      return true
    } catch {
      return false
    }
  }
  let pid = postmaster()
  return {
    directory,
    socket: { host, port },
    url(role, ports) {
      const { user, password, database } = embedded.target(role)
      return `postgresql://${user}:${encodeURIComponent(password)}@${ports.map((each) => `127.0.0.1:${each}`).join(',')}/${database}`
    },
    async owner(sql, values = []) {
      const { user, password, database } = embedded.target('superuser', 'holdfast')
      const client = new pg.Client({
        host,
        port,
        user,
        password,
        database,
        options: '-c default_transaction_read_only=off',
      })
      await client.connect()
      try {
        return (await client.query<Row>(sql, [...values])).rows
      } finally {
        await client.end()
      }
    },
    async end(signal) {
      if (isAlive(pid)) process.kill(pid, signal)
      while (isAlive(pid)) await new Promise((resolve) => setTimeout(resolve, 10))
      await embedded.stop()
    },
    async start() {
      embedded = await open()
      pid = postmaster()
    },
    limitFiles(bytes) {
      const limit = `--fsize=${bytes ?? 'unlimited'}:`
      // the server's processes take the limit from their parent when they begin; those that have begun get it too
      for (const each of [pid, ...childrenOf(pid)]) {
        try {
          // as the account it runs under: to limit another's needs a privilege that root of a container lacks
          const { uid, gid } = statSync(`/proc/${each}`)
          execFileSync('prlimit', [limit, `--pid=${each}`], { stdio: 'ignore', uid, gid })
        } catch (error) {
          if (isAlive(each)) throw error
        }
      }
    },
    get isRunning() {
      return isAlive(pid)
    },
    async close() {
      await embedded.stop()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
  return text.trim() === '' ? [] : text.trim().split(' ').map(Number)
}
