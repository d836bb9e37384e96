import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freePort } from '../serve-process.ts'
import { type OpenService, openService } from '../service/http/open-service.ts'
import { read, root } from './read.ts'

const why = spawnSync('haproxy', ['-v']).status === 0 ? '' : 'haproxy is not there'
if (why !== '') {
  if (process.env['HOLDFAST_REQUIRE']?.split(',').includes('haproxy') === true) throw new Error(why)
  console.warn(`SKIPPED: the balancer: ${why}`)
}

/** deploy/haproxy/haproxy.cfg before a real service; of the three servers two are not there. */
describe.skipIf(why !== '')(`the balancer${why === '' ? '' : ` – ${why}`}`, () => {
  let directory: string
  let room: OpenService
  let haproxy: ChildProcess
  let port: number
  let output = ''

  type Answer = { status: number | undefined; body: string; hsts: unknown }
  const ask = (path: string, headers: Record<string, string> = {}): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const ca = readFileSync(join(directory, 'trust/ca.crt'))
      const asked = request({ host: 'localhost', port, path, headers, ca, servername: 'localhost' }, (answer) => {
        let body = ''
        answer.on('data', (chunk: Buffer) => (body += chunk.toString()))
        answer.on('end', () =>
          resolve({ status: answer.statusCode, body, hsts: answer.headers['strict-transport-security'] }),
        )
      })
      asked.on('error', reject)
      asked.end()
    })

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'holdfast-balancer-'))
    room = await openService({ HOLDFAST_TRUSTED_PROXIES: '127.0.0.1' })
    const { url } = await room.service.listen()
    const uid = String(process.getuid?.())
    const parameters = [join(directory, 'tls'), join(directory, 'trust'), uid, 'localhost']
    execFileSync(join(root, 'deploy/certificates.sh'), parameters)
    const nobody = await freePort()
    port = await freePort()
    const config = read('deploy/haproxy/haproxy.cfg')
      .replace('bind :8443', `bind 127.0.0.1:${port}`)
      .replace('/run/tls/', `${directory}/tls/`)
      .replace('service1:7070', new URL(url).host)
      .replaceAll(/service[23]:7070/g, `127.0.0.1:${nobody}`)
    writeFileSync(join(directory, 'haproxy.cfg'), config)
    haproxy = spawn('haproxy', ['-db', '-f', join(directory, 'haproxy.cfg')], { stdio: ['ignore', 'pipe', 'pipe'] })
    for (const stream of [haproxy.stdout, haproxy.stderr]) {
      stream?.on('data', (chunk: Buffer) => (output += chunk.toString()))
    }
    // until it has seen that two are not there
    const deadline = performance.now() + 30_000
    while (!output.includes('services/service3 is DOWN')) {
      if (haproxy.exitCode !== null || performance.now() > deadline)
        throw new Error(`haproxy did not start:\n${output}`)
      await new Promise((resolve) => setTimeout(resolve, 25))
    }
  })
  afterAll(async () => {
    haproxy?.kill('SIGKILL')
    await room?.close()
    rmSync(directory, { recursive: true, force: true })
  })

  it('leads to the service that is ready, over TLS that is verified', async () => {
    for (let round = 0; round < 6; round++) {
      const { status, body, hsts } = await ask('/v1/me')
      expect([status, hsts]).toEqual([401, 'max-age=31536000'])
      expect(body).toContain('unauthenticated')
    }
  })

  it('keeps probes to itself', async () => {
    for (const path of ['/ready', '/health']) expect((await ask(path)).status).toBe(404)
  })

  it('passes on whence a request came, and not what its client says of that', async () => {
    await ask('/v1/me', { 'x-forwarded-for': '192.0.2.7', 'x-forwarded-host': 'planted.example' })
    expect(room.log()).not.toMatch(/192\.0\.2\.7|planted\.example/)
    const { status } = await ask('/v1/me', { 'x-forwarded-for': 'not an address' })
    expect(status).toBe(401)
  })

  it('stops a flood before it reaches the service', async () => {
    const flood = await Promise.all(Array.from({ length: 400 }, () => ask('/v1/me').then(({ status }) => status)))
    expect(flood.filter((status) => status === 429).length).toBeGreaterThan(50)
  })
})
