import { spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startServe } from '../serve-process.ts'
import { holdfast } from './fake-terminal.ts'

let directory: string
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'holdfast-serve-'))
  // as root, PostgreSQL runs under another account, which must pass through
  chmodSync(directory, 0o711)
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

const mode = (name: string): string => (statSync(join(directory, name)).mode & 0o777).toString(8)

describe('holdfast serve', () => {
  it('starts on nothing, lets the first tenant be made, and starts again', async () => {
    const first = await startServe({ HOLDFAST_DATA_DIR: directory })
    const output = first.output()
    expect(output).toContain(`listens on ${first.origin}`)
    expect(output).toContain(`${first.origin}/docs`)
    expect(output).toContain('PostgreSQL 18, embedded in')
    const token = readFileSync(join(directory, 'setup-token'), 'utf8').trim()
    expect(token).toMatch(/^hfp_/)
    // the token is in its file, not in a log
    expect(output).not.toContain(token)
    expect([mode('setup-token'), mode('key')]).toEqual(['600', '600'])

    const pasted = /curl -s (\S+) -H '([^']+)' \\\n {4}-d '(.*)'\n/.exec(output)
    const body = (pasted?.[3] ?? '').replace(/'"\$\(cat [^)]*\)"'/, token)
    const made = await fetch(String(pasted?.[1]), {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    })
    expect(made.status).toBe(201)

    const second = await holdfast(['serve', '--data-dir', directory, '--port', '0', '--metrics-port', 'off'])
    expect([second.code, second.err]).toEqual([
      1,
      expect.stringMatching(/^holdfast: .* is in use by process \d+\. Stop it, or choose another/),
    ])
    expect((await fetch(`${first.origin}/ready`)).status).toBe(200)

    const further = await holdfast(['setup-token', '--data-dir', directory, '--json'])
    expect(JSON.parse(further.out)).toEqual({ token: expect.stringMatching(/^hfp_/) })

    const busy = await holdfast([
      'serve',
      '--data-dir',
      `${directory}/other`,
      '--port',
      new URL(first.origin).port,
      '--metrics-port',
      'off',
    ])
    expect([busy.code, busy.err]).toEqual([
      1,
      expect.stringMatching(/Cannot listen on 127\.0\.0\.1, port \d+: another program listens there/),
    ])

    expect(await first.stop()).toBe(0)
    const again = await startServe({ HOLDFAST_DATA_DIR: directory })
    expect(again.output()).not.toContain('Nobody has an account yet')
    expect(existsSync(join(directory, 'setup-token'))).toBe(false)
    const signIn = await fetch(`${again.origin}/v1/sign-in`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ email: 'you@example.com', password: 'at least fifteen characters' }),
    })
    expect(signIn.status).toBe(200)
    expect(await again.stop()).toBe(0)
  })

  it('says what is wrong in one line', async () => {
    const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
    const child = spawn(process.execPath, ['--import', 'tsx', main, 'serve'], {
      env: { PATH: process.env['PATH'], LOG_LEVEL: 'loud' },
      cwd: fileURLToPath(new URL('../../', import.meta.url)),
    })
    let err = ''
    child.stderr.on('data', (chunk: Buffer) => void (err += chunk.toString()))
    const code = await new Promise((resolve) => child.once('exit', resolve))
    expect([code, err]).toEqual([
      1,
      'holdfast: http.log_level, from the environment variable LOG_LEVEL, must be one of fatal, error, warn, info, debug, trace, silent. It is "loud".\n',
    ])
  })
})
