import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Type } from '@sinclair/typebox'
import { describe, expect, it } from 'vitest'
import { readHosts } from '../../src/core/database/connection-target.ts'
import { settings } from '../../src/service/settings.ts'
import { EXACT_IMAGE, faults, read, readYaml, root } from './read.ts'

const closed = { additionalProperties: false }
const text = Type.String({ minLength: 1 })
const texts = Type.Array(text)
const condition = Type.Union([Type.Literal('service_healthy'), Type.Literal('service_completed_successfully')])
/** What our compose files use of the Compose Specification, and nothing else of it. */
const composeSchema = Type.Object(
  {
    services: Type.Record(
      Type.String(),
      Type.Object(
        {
          image: Type.String({ pattern: EXACT_IMAGE.source }),
          build: Type.Optional(Type.Object({ context: text, dockerfile: text }, closed)),
          user: Type.Optional(Type.String({ pattern: '^\\d+:\\d+$' })),
          read_only: Type.Literal(true),
          cap_drop: Type.Tuple([Type.Literal('ALL')]),
          cap_add: Type.Optional(Type.Tuple([Type.Literal('CHOWN')])),
          security_opt: Type.Tuple([Type.Literal('no-new-privileges:true')]),
          pids_limit: Type.Integer({ minimum: 1 }),
          network_mode: Type.Optional(Type.Literal('none')),
          networks: Type.Optional(
            Type.Union([texts, Type.Record(Type.String(), Type.Object({ ipv4_address: text }, closed))]),
          ),
          entrypoint: Type.Optional(texts),
          command: Type.Optional(Type.Array(Type.String())),
          environment: Type.Optional(Type.Record(Type.String(), Type.String())),
          volumes: Type.Optional(texts),
          tmpfs: Type.Optional(texts),
          shm_size: Type.Optional(text),
          ports: Type.Optional(texts),
          healthcheck: Type.Optional(
            Type.Object({ test: texts, interval: text, timeout: text, retries: Type.Integer({ minimum: 1 }) }, closed),
          ),
          stop_signal: Type.Optional(text),
          stop_grace_period: Type.Optional(text),
          restart: Type.Optional(Type.Literal('unless-stopped')),
          depends_on: Type.Optional(Type.Record(Type.String(), Type.Object({ condition }, closed))),
        },
        closed,
      ),
    ),
    networks: Type.Record(
      Type.String(),
      Type.Object(
        {
          internal: Type.Optional(Type.Literal(true)),
          ipam: Type.Optional(Type.Object({ config: Type.Array(Type.Object({ subnet: text }, closed)) }, closed)),
        },
        closed,
      ),
    ),
    volumes: Type.Record(Type.String(), Type.Object({}, closed)),
  },
  { additionalProperties: false },
)

type Container = {
  image: string
  user?: string
  cap_add?: string[]
  network_mode?: string
  networks?: string[] | Record<string, unknown>
  entrypoint?: string[]
  command?: string[]
  environment?: Record<string, string>
  volumes?: string[]
  ports?: string[]
  healthcheck?: unknown
  restart?: string
  depends_on?: Record<string, { condition: string }>
}
type Compose = {
  services: Record<string, Container>
  networks: Record<string, { internal?: boolean }>
  volumes: object
}

/** A compose file without its templates, which begin with `x-`. */
function compose(file: string): Compose {
  const [document] = readYaml(file) as [Record<string, unknown>]
  return Object.fromEntries(Object.entries(document).filter(([name]) => !name.startsWith('x-'))) as Compose
}

const files = ['deploy/compose.yaml', 'deploy/compose.cluster.yaml']
const known = new Set(settings.flatMap(({ env }) => (env === undefined ? [] : [env])))

describe.each(files)('%s', (file) => {
  const parsed = compose(file)
  const services = Object.entries(parsed.services)
  const networksOf = ({ networks = [] }: Container): string[] =>
    Array.isArray(networks) ? networks : Object.keys(networks)

  it('is what the schema allows: exact tags, read-only, no capability but one, nothing else', () => {
    expect(services.length).toBeGreaterThan(4)
    expect(faults(composeSchema, parsed)).toEqual([])
  })

  it('only what prepares is root, and that has no network', () => {
    const isRoot = ({ user, image }: Container): boolean =>
      (user ?? (image.startsWith('holdfast:') ? '10001:10001' : '0:0')) === '0:0'
    const privileged = services.filter(([, container]) => isRoot(container) || container.cap_add !== undefined)
    expect(privileged.length).toBeGreaterThan(1)
    for (const [, container] of privileged) {
      expect([container.network_mode, container.ports, container.restart]).toEqual(['none', undefined, undefined])
    }
  })

  it('the database, its console and its certificates are within: no port, no way out', () => {
    const databases = services.filter(
      ([, { image, ports, command }]) =>
        /^(postgres|cockroachdb)/.test(image) && command !== undefined && ports === undefined,
    )
    expect(databases.map(([name]) => name)).toEqual(
      file.includes('cluster') ? ['node1', 'node2', 'node3'] : ['database'],
    )
    for (const [, container] of databases) expect(networksOf(container)).toEqual(['database'])
    expect(parsed.networks['database']?.internal).toBe(true)
    const published = services.flatMap(([, { ports = [] }]) => ports)
    expect(published).toEqual(file.includes('cluster') ? ['8443:8443'] : ['127.0.0.1:7070:7070'])
    for (const [, { command = [] }] of databases) {
      const consoles = command.filter((part) => part.startsWith('--http-addr='))
      expect(consoles.every((part) => part === '--http-addr=127.0.0.1:8080')).toBe(true)
    }
  })

  it('waits for what it needs, and what is waited for can be: it ends, or has a health check', () => {
    for (const [name, { depends_on = {} }] of services) {
      for (const [other, { condition: wanted }] of Object.entries(depends_on)) {
        const needed = parsed.services[other]
        expect(needed, `${name} waits for ${other}`).toBeDefined()
        if (wanted === 'service_healthy') expect(needed?.healthcheck, other).toBeDefined()
        else expect(needed?.restart, other).toBeUndefined()
      }
    }
    // nothing serves before the migration is through, which needs the roles
    const chain = (name: string): string[] => Object.keys(parsed.services[name]?.depends_on ?? {})
    const service = file.includes('cluster') ? 'service1' : 'service'
    expect([chain(service), chain('migrate')]).toEqual([['migrate'], ['roles']])
  })

  it('each volume is declared and used, and a secret is mounted where it is read, read-only', () => {
    const mounts = services.flatMap(([name, { volumes = [] }]) => volumes.map((volume) => ({ name, volume })))
    const named = mounts.filter(({ volume }) => !volume.startsWith('.'))
    expect(new Set(named.map(({ volume }) => volume.split(':')[0]))).toEqual(new Set(Object.keys(parsed.volumes)))
    for (const { name, volume } of mounts) {
      const isMaker = ['secrets', 'certificates', 'balancer-certificate'].includes(name)
      const isData = /^(?:database|node\d-data):/.test(volume)
      expect(volume.endsWith(':ro') || isData || (isMaker && !volume.startsWith('.')), `${name} ${volume}`).toBe(true)
    }
    const readers = (secret: string): string[] =>
      mounts.filter(({ volume }) => volume.startsWith(`${secret}:`)).map(({ name }) => name)
    expect(readers('migrate-secrets')).toEqual(['secrets', 'roles', 'migrate'])
    expect(readers('roles-secrets')).toEqual(['secrets', 'roles'])
    for (const { volume } of mounts.filter(({ volume: each }) => each.startsWith('.'))) {
      expect(existsSync(join(root, 'deploy', volume.split(':')[0] ?? '')), volume).toBe(true)
    }
  })

  it('gives the service only settings that there are', () => {
    const ours = services.filter(([, { image }]) => image.startsWith('holdfast:'))
    const given = ours.flatMap(([, { environment = {} }]) => Object.keys(environment))
    expect(given.length).toBeGreaterThan(0)
    expect(given.filter((name) => !known.has(name))).toEqual([])
    // nor is a secret among them: those come in files
    const secrets = settings.filter(({ secret }) => secret === true).map(({ env }) => env)
    expect(given.filter((name) => secrets.includes(name))).toEqual([])
  })

  it('addresses the database by URLs that the service takes, verified', () => {
    const [, , hosts = '', parameters = '', superuser] = parsed.services['secrets']?.entrypoint ?? []
    const all = [
      `postgresql://holdfast_app:x@${hosts}/holdfast?${parameters}`,
      ...(superuser === undefined ? [] : [superuser]),
    ]
    for (const url of all) {
      expect(url).toContain('sslmode=verify-full')
      // the files are in the container; that they are missing here is the only fault
      expect(() => readHosts({ url })).toThrow(/the file of sslrootcert cannot be read \(ENOENT\)/)
      const { addresses } = readHosts({ url: url.replaceAll(/&ssl(?:rootcert|cert|key)=[^&]*/g, '') })
      expect(addresses.every(({ ssl }) => ssl !== undefined)).toBe(true)
      if (url.includes(',')) expect(addresses.map(({ host }) => host)).toEqual(['node1', 'node2', 'node3'])
    }
  })

  const client = ['docker-compose', 'docker compose'].find(
    (command) => spawnSync('sh', ['-c', `${command} version`]).status === 0,
  )
  it.skipIf(client === undefined)('is accepted by docker compose config', () => {
    const { status, stderr } = spawnSync('sh', ['-c', `${client} -f ${file} config -q`], {
      cwd: root,
      encoding: 'utf8',
    })
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  })
  if (client === undefined) {
    if (process.env['HOLDFAST_REQUIRE']?.split(',').includes('compose') === true)
      throw new Error('docker-compose is required')
    console.warn('SKIPPED: docker compose config: install docker-compose')
  }
})

it('the balancer knows each service, is who they trust, and keeps probes to itself', () => {
  const { services } = compose('deploy/compose.cluster.yaml')
  const config = read('deploy/haproxy/haproxy.cfg')
  const named = [...config.matchAll(/^ {2}server (\S+) (\S+)$/gm)].map(([, name, address]) => [name, address])
  const replicas = Object.keys(services).filter((name) => /^service\d$/.test(name))
  expect(replicas.length).toBe(3)
  expect(named).toEqual(replicas.map((name) => [name, `${name}:7070`]))
  const { front } = (services['balancer']?.networks ?? {}) as Record<string, { ipv4_address: string }>
  for (const name of replicas) {
    expect(services[name]?.environment?.['HOLDFAST_TRUSTED_PROXIES']).toBe(front?.ipv4_address)
  }
  expect(config).toMatch(/deny deny_status 404 if \{ path \/ready \} or \{ path \/health \}/)
  expect(config.indexOf('del-header X-Forwarded-For')).toBeLessThan(config.indexOf('option forwardfor'))
})
