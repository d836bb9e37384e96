import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { type Embedded, startEmbedded } from '../../../src/core/database/embedded.ts'
import { findBinaries, hydrateLinks } from '../../../src/core/database/embedded-binaries.ts'
import { processIdentity } from '../../../src/core/database/process-identity.ts'
import { connect } from '../../backends.ts'

const isRoot = process.getuid?.() === 0
const nobody = 65_534
const script = new URL('./embedded-runner.ts', import.meta.url).pathname

let seed: string
let base: string
let directory: string
let running: Embedded[]
let children: ChildProcess[]

beforeAll(async () => {
  seed = mkdtempSync(join(tmpdir(), 'hf-seed-'))
  chmodSync(seed, 0o755)
  const embedded = await startEmbedded({ dataDirectory: join(seed, 'data'), log: () => undefined })
  await embedded.stop()
})
afterAll(() => rmSync(seed, { recursive: true }))

/** A data directory that has been started once, and stopped cleanly. */
function copySeed(): void {
  execFileSync('cp', ['-a', join(seed, 'data'), directory])
}

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'hf-'))
  chmodSync(base, 0o755)
  directory = join(base, 'data')
  running = []
  children = []
})
afterEach(async () => {
  for (const child of children) child.kill('SIGKILL')
  for (const embedded of running) await embedded.stop()
  rmSync(base, { recursive: true, force: true })
})

async function start(dataDirectory = directory, log: (line: string) => void = () => undefined): Promise<Embedded> {
  const embedded = await startEmbedded({ dataDirectory, log })
  running.push(embedded)
  return embedded
}

/** Runs the child script; `lines` fills as it speaks. */
function child(command: string, dataDirectory = directory, uid?: number) {
  const spawned = spawn(process.execPath, ['--import', 'tsx', script, command, dataDirectory], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, HOME: base },
    ...(uid === undefined ? {} : { uid, gid: uid }),
  })
  children.push(spawned)
  const lines: Record<string, unknown>[] = []
  createInterface({ input: spawned.stdout }).on('line', (line) =>
    lines.push(JSON.parse(line) as Record<string, unknown>),
  )
  const ended = new Promise<void>((resolve) => spawned.once('close', () => resolve()))
  return { process: spawned, lines, ended }
}

async function sql(
  embedded: Embedded,
  role: 'superuser' | 'app' | 'migrator',
  text: string,
): Promise<Record<string, unknown>[]> {
  const client = await connect(embedded.target(role))
  try {
    return (await client.query<Record<string, unknown>>(text)).rows
  } finally {
    await client.end()
  }
}

const postmaster = (): number =>
  Number.parseInt(readFileSync(join(directory, 'postgres', 'postmaster.pid'), 'utf8'), 10)

describe('start and stop', () => {
  test('the first start makes everything, later ones find it; a clean stop leaves no process and no lock', async () => {
    const first = await start()
    expect(first).toMatchObject({ firstStart: true, version: '18' })
    const pid = postmaster()
    await sql(first, 'superuser', 'CREATE TABLE public.kept (id INT8)')
    await first.stop()
    await first.stop()
    expect(processIdentity(pid)).toBeUndefined()
    expect(existsSync(join(directory, 'holdfast.lock'))).toBe(false)
    const again = await start()
    expect(again.firstStart).toBe(false)
    expect(await sql(again, 'superuser', 'SELECT 1 AS one FROM public.kept')).toEqual([])
  })

  test('closed to everybody else: modes, socket only, scram only, durable', async () => {
    copySeed()
    const embedded = await start()
    for (const [path, mode] of [
      ['embedded.json', 0o600],
      ['holdfast.lock', 0o600],
      ['run', 0o700],
      ['postgres', 0o700],
    ] as const) {
      expect(statSync(join(directory, path)).mode & 0o777, path).toBe(mode)
    }
    const rules = readFileSync(join(directory, 'postgres', 'pg_hba.conf'), 'utf8')
      .split('\n')
      .filter((line) => /^\w/.test(line))
    expect(rules.length).toBeGreaterThan(0)
    for (const rule of rules) expect(rule).toMatch(/scram-sha-256$/)
    const settings = await sql(
      embedded,
      'superuser',
      "SELECT name, setting FROM pg_settings WHERE name IN ('listen_addresses', 'fsync', 'full_page_writes', 'synchronous_commit', 'data_checksums', 'unix_socket_permissions') ORDER BY name",
    )
    expect(settings.map(({ name, setting }) => `${String(name)}=${String(setting)}`)).toEqual([
      'data_checksums=on',
      'fsync=on',
      'full_page_writes=on',
      'listen_addresses=',
      'synchronous_commit=on',
      'unix_socket_permissions=0700',
    ])
    const target = embedded.target('app')
    await expect(connect({ ...target, password: 'wrong' })).rejects.toMatchObject({ code: '28P01' })
    await expect(connect({ ...target, database: 'postgres' })).rejects.toMatchObject({ code: '42501' })
    expect(
      Object.values(JSON.parse(readFileSync(join(directory, 'embedded.json'), 'utf8')).passwords as object).every(
        (text) => String(text).length === 43,
      ),
    ).toBe(true)
  })

  test('the roles are least-privileged', async () => {
    copySeed()
    const embedded = await start()
    const roles = await sql(
      embedded,
      'superuser',
      "SELECT rolname, rolcanlogin, rolinherit, rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls OR rolreplication AS mighty FROM pg_roles WHERE rolname LIKE 'holdfast\\_%' AND rolname <> 'holdfast_superuser' ORDER BY rolname",
    )
    expect(roles.map(({ rolname, rolcanlogin, mighty }) => [rolname, rolcanlogin, mighty])).toEqual([
      ['holdfast_app', true, false],
      ['holdfast_enter', false, false],
      ['holdfast_identity', true, false],
      ['holdfast_migrator', true, false],
      ['holdfast_owner', false, false],
    ])
    const members = await sql(
      embedded,
      'superuser',
      "SELECT r.rolname AS role, m.rolname AS member, inherit_option FROM pg_auth_members a JOIN pg_roles r ON r.oid = roleid JOIN pg_roles m ON m.oid = member WHERE m.rolname LIKE 'holdfast%' ORDER BY 1",
    )
    expect(members).toEqual([
      { role: 'holdfast_app', member: 'holdfast_migrator', inherit_option: false },
      { role: 'holdfast_enter', member: 'holdfast_migrator', inherit_option: false },
      { role: 'holdfast_owner', member: 'holdfast_migrator', inherit_option: false },
    ])
    for (const text of [
      'CREATE TABLE public.t (id INT8)',
      'CREATE TEMPORARY TABLE t (id INT8)',
      'CREATE SCHEMA s',
      'SET ROLE holdfast_owner',
      'SELECT rolpassword FROM pg_authid',
      "COPY (SELECT 1) TO PROGRAM 'true'",
    ]) {
      await expect(sql(embedded, 'app', text), text).rejects.toMatchObject({ code: '42501' })
    }
    const open =
      "SELECT rolname FROM pg_roles WHERE rolname LIKE 'holdfast%' AND rolcanlogin AND NOT rolsuper AND has_schema_privilege(oid, 'public', 'USAGE')"
    expect(await sql(embedded, 'superuser', open)).toEqual([])
    await expect(sql(embedded, 'migrator', 'CREATE SCHEMA s')).rejects.toMatchObject({ code: '42501' })
    expect(
      await sql(
        embedded,
        'app',
        "SELECT current_setting('search_path') AS path, current_setting('default_transaction_isolation') AS isolation",
      ),
    ).toEqual([{ path: '""', isolation: 'serializable' }])
  })

  test('a path too long for a socket: a closed folder under the temporary directory, found again', async () => {
    const deep = join(base, 'x'.repeat(60), 'y'.repeat(40))
    const embedded = await start(deep)
    const { host } = embedded.target('app')
    expect(host.startsWith(join(tmpdir(), 'holdfast-'))).toBe(true)
    expect(statSync(host).mode & 0o777).toBe(0o700)
    await embedded.stop()
    const again = await start(deep)
    expect(again.target('app').host).toBe(host)
    await again.stop()
    // Somebody else's folder of that name is not used.
    rmSync(host, { recursive: true })
    mkdirSync(host, { mode: 0o755 })
    const third = await start(deep)
    expect(third.target('app').host).not.toBe(host)
    rmSync(host, { recursive: true })
    await third.stop()
    rmSync(third.target('app').host, { recursive: true })
  })
})

describe('one at a time', () => {
  test('a second start is refused, naming the process', async () => {
    copySeed()
    await start()
    await expect(start()).rejects.toMatchObject({
      code: 'embedded_in_use',
      pid: process.pid,
      message: expect.stringContaining(String(process.pid)),
    })
    const other = child('start and stop')
    await other.ended
    expect(other.lines).toMatchObject([{ code: 'embedded_in_use' }])
  })

  test('of six at once, one wins', async () => {
    const results = await Promise.allSettled(Array.from({ length: 6 }, () => start()))
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
  })

  test.each([
    ['a process that is gone', { pid: 4_194_304, identity: 'x 1', nonce: 'n' }],
    ['a process id that was used again', { pid: process.ppid, identity: 'another boot 1', nonce: 'n' }],
  ])('a lock of %s is taken over', async (_, holder) => {
    mkdirSync(directory, { mode: 0o711 })
    writeFileSync(join(directory, 'holdfast.lock'), JSON.stringify(holder))
    await start()
    expect(readdirSync(directory).filter((name) => name.includes('lock'))).toEqual(['holdfast.lock'])
  })

  test('a lock nobody can read is not taken over', async () => {
    mkdirSync(directory, { mode: 0o711 })
    writeFileSync(join(directory, 'holdfast.lock'), 'garbage')
    await expect(start()).rejects.toMatchObject({ code: 'embedded_failed' })
  })
})

describe('after a crash', () => {
  test('SIGKILL of the parent amid writes, three times: what was acknowledged is there, nothing is there by half', async () => {
    copySeed()
    const prepare = await start()
    await sql(prepare, 'superuser', 'CREATE TABLE public.acknowledged (id INT8, half INT8, PRIMARY KEY (id, half))')
    await sql(prepare, 'superuser', 'GRANT USAGE ON SCHEMA public TO holdfast_migrator')
    await sql(prepare, 'superuser', 'GRANT INSERT, SELECT, DELETE ON TABLE public.acknowledged TO holdfast_migrator')
    await prepare.stop()
    for (let round = 0; round < 3; round++) {
      const writer = child('write')
      await expect.poll(() => writer.lines.length, { timeout: 20_000 }).toBeGreaterThan(50)
      const orphan = postmaster()
      writer.process.kill('SIGKILL')
      await writer.ended
      expect(processIdentity(orphan)).toBeDefined()
      const logged: string[] = []
      const embedded = await start(directory, (line) => logged.push(line))
      expect(logged.join()).toContain(String(orphan))
      expect(processIdentity(orphan)).toBeUndefined()
      const rows = await sql(
        embedded,
        'superuser',
        'SELECT id::INT4 AS id, count(*)::INT4 AS halves FROM public.acknowledged GROUP BY id',
      )
      const there = new Set(rows.map(({ id }) => id))
      for (const { id } of writer.lines.slice(1)) expect(there.has(id), `acknowledged ${String(id)}`).toBe(true)
      expect(rows.filter(({ halves }) => halves !== 2)).toEqual([])
      await sql(embedded, 'superuser', 'DELETE FROM public.acknowledged')
      await embedded.stop()
    }
  })

  test('SIGKILL of the parent and of postgres itself: it recovers', async () => {
    copySeed()
    const prepare = await start()
    await sql(prepare, 'superuser', 'CREATE TABLE public.acknowledged (id INT8, half INT8, PRIMARY KEY (id, half))')
    await sql(prepare, 'superuser', 'GRANT USAGE ON SCHEMA public TO holdfast_migrator')
    await sql(prepare, 'superuser', 'GRANT INSERT, SELECT ON TABLE public.acknowledged TO holdfast_migrator')
    await prepare.stop()
    const writer = child('write')
    await expect.poll(() => writer.lines.length, { timeout: 20_000 }).toBeGreaterThan(50)
    const killed = postmaster()
    process.kill(killed, 'SIGKILL')
    writer.process.kill('SIGKILL')
    await writer.ended
    const embedded = await start()
    const rows = await sql(embedded, 'superuser', 'SELECT DISTINCT id::INT4 AS id FROM public.acknowledged')
    const there = new Set(rows.map(({ id }) => id))
    // between the two signals it may have said that its connection is lost
    const acknowledged = writer.lines.slice(1).filter(({ id }) => id !== undefined)
    expect(acknowledged.length).toBeGreaterThan(49)
    for (const { id } of acknowledged) expect(there.has(id), `acknowledged ${String(id)}`).toBe(true)
  })

  test.each([60, 200, 450, 700])(
    'SIGKILL %i ms into the first start: the next one begins again or goes on',
    async (milliseconds) => {
      const starter = child('start')
      // Its own start-up comes first: wait for the data directory.
      await expect.poll(() => existsSync(join(directory, 'holdfast.lock')), { interval: 5, timeout: 20_000 }).toBe(true)
      await new Promise((resolve) => setTimeout(resolve, milliseconds))
      starter.process.kill('SIGKILL')
      await starter.ended
      const embedded = await start()
      expect(await sql(embedded, 'app', 'SELECT 1 AS one')).toEqual([{ one: 1 }])
    },
  )

  test('a process id in postmaster.pid that is a stranger now is no obstacle', async () => {
    copySeed()
    await (await start()).stop()
    const stranger = spawn('sleep', ['60'], {
      stdio: 'ignore',
      ...(isRoot ? { uid: statSync(join(directory, 'postgres')).uid } : {}),
    })
    children.push(stranger)
    writeFileSync(
      join(directory, 'postgres', 'postmaster.pid'),
      `${stranger.pid}\n${join(directory, 'postgres')}\n1\n5432\n\n\n\n`,
    )
    expect((await start()).firstStart).toBe(false)
    expect(stranger.exitCode).toBe(null)
    expect(stranger.signalCode).toBe(null)
  })

  test('a process that just exits takes postgres along', async () => {
    copySeed()
    const leaver = child('start and exit')
    await leaver.ended
    expect(leaver.lines).toMatchObject([{ started: true }])
    await expect.poll(() => existsSync(join(directory, 'postgres', 'postmaster.pid')), { timeout: 5_000 }).toBe(false)
    expect((await start()).firstStart).toBe(false)
  })

  test('a first start that broke off is begun again', async () => {
    copySeed()
    const first = await start()
    await first.stop()
    const path = join(directory, 'embedded.json')
    writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), ready: false }))
    rmSync(join(directory, 'postgres', 'global'), { recursive: true })
    const again = await start()
    expect(again.firstStart).toBe(true)
    expect(await sql(again, 'app', 'SELECT 1 AS one')).toEqual([{ one: 1 }])
  })
})

describe('what it refuses', () => {
  test('data of another major version', async () => {
    copySeed()
    await (await start()).stop()
    writeFileSync(join(directory, 'postgres', 'PG_VERSION'), '17\n')
    await expect(start()).rejects.toMatchObject({
      code: 'embedded_version',
      message: expect.stringMatching(/PostgreSQL 17.*PostgreSQL 18/),
    })
  })

  test('data whose passwords are lost: nothing is deleted', async () => {
    copySeed()
    await (await start()).stop()
    rmSync(join(directory, 'embedded.json'))
    await expect(start()).rejects.toMatchObject({
      code: 'embedded_failed',
      message: expect.stringContaining('embedded.json'),
    })
    expect(existsSync(join(directory, 'postgres', 'PG_VERSION'))).toBe(true)
  })

  test('a platform without a package', async () => {
    vi.spyOn(process, 'arch', 'get').mockReturnValue('s390x')
    await expect(findBinaries()).rejects.toMatchObject({
      code: 'embedded_missing',
      message: expect.stringContaining('DATABASE_URL'),
    })
  })

  test.skipIf(!isRoot)('as root: a folder the account cannot pass, and says which', async () => {
    const closed = join(base, 'closed')
    mkdirSync(closed, { mode: 0o700 })
    await expect(start(join(closed, 'data'))).rejects.toMatchObject({
      code: 'embedded_unreachable',
      message: expect.stringMatching(new RegExp(`cannot enter ${closed} .*HOLDFAST_DATA_DIR`)),
    })
  })
})

describe('who it runs as', () => {
  test.skipIf(!isRoot)('as root: an unprivileged account owns the data and the process', async () => {
    copySeed()
    const embedded = await start()
    const { uid } = statSync(join(directory, 'postgres'))
    expect(uid).not.toBe(0)
    expect(statSync(join(directory, 'embedded.json')).uid).toBe(0)
    if (process.platform === 'linux') expect(statSync(`/proc/${postmaster()}`).uid).toBe(uid)
    expect(await sql(embedded, 'app', 'SELECT 1 AS one')).toEqual([{ one: 1 }])
  })

  test.skipIf(!isRoot)('as an ordinary user: itself', async () => {
    mkdirSync(directory, { mode: 0o700 })
    chownSync(directory, nobody, nobody)
    for (const firstStart of [true, false]) {
      const run = child('start and stop', directory, nobody)
      await run.ended
      expect(run.lines).toEqual([{ started: true, firstStart, uid: nobody }])
    }
    chmodSync(directory, 0o711)
    // Afterwards root's account differs from the owner of the data, unless it is the same one.
    const other = await start().catch((error: unknown) => error)
    if (other instanceof Error)
      expect(other).toMatchObject({ code: 'embedded_account', message: expect.stringContaining('chown') })
  })
})

describe('links that npm does not carry', () => {
  const links = [
    { source: 'native/lib/libx.so.1.2', target: 'native/lib/libx.so.1' },
    { source: 'native/lib/libx.so.1.2', target: 'native/lib/libx.so' },
    { source: '../../etc/passwd', target: 'native/lib/evil' },
    { source: 'native/lib/libx.so.1.2', target: '../evil' },
  ]
  beforeEach(() => {
    mkdirSync(join(directory, 'native', 'lib'), { recursive: true })
    writeFileSync(join(directory, 'native', 'lib', 'libx.so.1.2'), 'library')
    writeFileSync(join(directory, 'native', 'pg-symlinks.json'), JSON.stringify(links))
  })

  test('are made once, relative, and only inside the package', async () => {
    await hydrateLinks(directory)
    await Promise.all([hydrateLinks(directory), hydrateLinks(directory)])
    const lib = join(directory, 'native', 'lib')
    expect(readdirSync(lib).toSorted()).toEqual(['libx.so', 'libx.so.1', 'libx.so.1.2'])
    expect(readlinkSync(join(lib, 'libx.so'))).toBe('libx.so.1.2')
    expect(existsSync(join(base, 'evil'))).toBe(false)
  })

  test.skipIf(!isRoot)(
    'cannot be made in a read-only folder: said clearly; once there, nothing is written',
    async () => {
      const refused = child('hydrate', directory, nobody)
      await refused.ended
      expect(refused.lines).toMatchObject([
        { code: 'embedded_read_only', message: expect.stringContaining('write access to node_modules') },
      ])
      await hydrateLinks(directory)
      const fine = child('hydrate', directory, nobody)
      await fine.ended
      expect(fine.lines).toEqual([{ done: true }])
    },
  )
})
