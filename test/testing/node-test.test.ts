import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const plain = fileURLToPath(new URL('./plain.ts', import.meta.url))

/** Folders of keepers that are running, of this user. */
const keepers = (pid: number): string[] =>
  readdirSync(tmpdir()).filter((name) => name.startsWith('holdfast-testing-') && name.endsWith(`-${pid}`))

it.each([
  ['a plain script', ['--import', 'tsx', plain]],
  ['node --test', ['--import', 'tsx', '--test', plain]],
])('works in %s, which ends by itself, and its database with it', async (_, args) => {
  const { VITEST: _vitest, ...environment } = process.env
  const child = spawnSync(process.execPath, args, { encoding: 'utf8', env: environment, timeout: 50_000 })
  expect({ status: child.status, failed: child.status === 0 ? '' : child.stdout + child.stderr }).toEqual({
    status: 0,
    failed: '',
  })
  const pid = Number(/pid (\d+)/.exec(child.stdout)?.[1])
  expect(pid).toBeGreaterThan(0)
  await expect.poll(() => [...keepers(pid), ...keepers(child.pid)], { timeout: 10_000 }).toEqual([])
})
