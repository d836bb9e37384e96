import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { startEmbedded } from '../../../src/core/database/embedded.ts'
import { chooseAccount } from '../../../src/core/database/embedded-account.ts'
import type { Binaries } from '../../../src/core/database/embedded-binaries.ts'
import { recordChild } from '../../../src/core/database/embedded-child.ts'
import { assertVersion, initialiseCluster } from '../../../src/core/database/embedded-cluster.ts'
import { giveAway, makeOwnDirectory } from '../../../src/core/database/embedded-directory.ts'
import { freshState, readState, writeState } from '../../../src/core/database/embedded-state.ts'

const isRoot = process.getuid?.() === 0
const nobody = 65_534

let base: string
let directory: string
let victim: string

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'hf-'))
  chmodSync(base, 0o755)
  directory = join(base, 'data')
  mkdirSync(directory)
  chmodSync(directory, 0o711)
  victim = join(base, 'victim')
  writeFileSync(victim, 'untouched', { mode: 0o644 })
})
afterEach(() => rmSync(base, { recursive: true, force: true }))

/** Programs that are one shell script, run as the account with initdb's parameters. */
function fakeBinaries(script: string): Binaries {
  const initdb = join(base, 'initdb')
  writeFileSync(initdb, `#!/bin/sh\n${script}\n`)
  chmodSync(initdb, 0o755)
  return { directory: base, initdb, postgres: initdb, pgCtl: initdb, major: 18 }
}

const untouched = (): void => {
  expect(readFileSync(victim, 'utf8')).toBe('untouched')
  expect(statSync(victim)).toMatchObject({ uid: process.getuid?.(), mode: 0o100644 })
}

describe('the password of the first start', () => {
  test.runIf(isRoot)('never lies where the account could plant a link', async () => {
    const script = `for one; do case $one in --pwfile=*) file=\${one#--pwfile=};; esac; done
      cat "$file" > "$2/seen"; stat -c %a "$file" > "$2/mode"
      ln -s ${victim} "$(dirname "$file")/planted" && : > "$2/planted"; exit 0`
    const state = freshState()
    await initialiseCluster(join(directory, 'postgres'), state, fakeBinaries(script), await chooseAccount())
    expect(readFileSync(join(directory, 'postgres', 'seen'), 'utf8')).toBe(state.passwords.superuser)
    expect(readFileSync(join(directory, 'postgres', 'mode'), 'utf8')).toBe('600\n')
    expect(existsSync(join(directory, 'postgres', 'planted'))).toBe(false)
    expect(existsSync(join(directory, 'postgres.password'))).toBe(false)
  })

  test('a cluster of a broken first start goes, and nothing beyond its links', async () => {
    const account = await chooseAccount()
    const cluster = join(directory, 'postgres')
    mkdirSync(join(cluster, 'deep'), { recursive: true })
    mkdirSync(join(base, 'kept'))
    writeFileSync(join(base, 'kept', 'file'), '')
    symlinkSync(join(base, 'kept'), join(cluster, 'deep', 'link'))
    if (account.uid !== undefined && account.gid !== undefined)
      for (const path of [cluster, join(cluster, 'deep')]) chownSync(path, account.uid, account.gid)
    await initialiseCluster(cluster, freshState(), fakeBinaries('exit 0'), account)
    expect(existsSync(join(cluster, 'deep'))).toBe(false)
    expect(existsSync(join(base, 'kept', 'file'))).toBe(true)
  })

  test('a planted PG_VERSION is neither followed nor told', () => {
    symlinkSync(victim, join(directory, 'PG_VERSION'))
    expect(() => assertVersion(directory, fakeBinaries(''))).toThrow(/regular file/)
    rmSync(join(directory, 'PG_VERSION'))
    writeFileSync(join(directory, 'PG_VERSION'), 'a secret')
    expect(() => assertVersion(directory, fakeBinaries(''))).toThrow(/^(?!.*secret)/)
    writeFileSync(join(directory, 'PG_VERSION'), '18\n')
    assertVersion(directory, fakeBinaries(''))
  })
})

describe("a directory of the account's", () => {
  test('is closed again; behind a link nothing is', async () => {
    const account = await chooseAccount()
    const path = join(directory, 'run')
    makeOwnDirectory(path, account)
    expect(statSync(path)).toMatchObject({ uid: account.uid ?? process.getuid?.(), mode: 0o40700 })
    chmodSync(path, 0o755)
    makeOwnDirectory(path, account)
    expect(statSync(path).mode).toBe(0o40700)
    rmdirSync(path)
    symlinkSync(base, path)
    expect(() => makeOwnDirectory(path, account)).toThrow(/in the way/)
    expect(() => giveAway(path, { name: 'nobody', uid: nobody, gid: nobody })).toThrow()
    expect(statSync(base)).toMatchObject({ uid: process.getuid?.(), mode: 0o40755 })
  })
})

describe('a data directory', () => {
  const start = (path = directory) => startEmbedded({ dataDirectory: path, log: () => undefined })
  const refused = { code: 'embedded_failed' }

  test.each([0o777, 0o1777, 0o770, 0o702])('that others may write to (mode %d) is refused', async (mode) => {
    chmodSync(directory, mode)
    await expect(start()).rejects.toMatchObject({ ...refused, message: expect.stringContaining('chmod go-w') })
  })

  test.runIf(isRoot)('of somebody else is refused', async () => {
    chownSync(directory, nobody, nobody)
    await expect(start()).rejects.toMatchObject({
      code: 'embedded_account',
      message: expect.stringContaining('chown 0'),
    })
  })

  test('that is a link is refused', async () => {
    const link = join(base, 'link')
    symlinkSync(directory, link)
    await expect(start(link)).rejects.toMatchObject(refused)
  })
})

describe('files of a data directory', () => {
  test('planted links are replaced, not written through', () => {
    symlinkSync(victim, join(directory, 'embedded.json.new'))
    symlinkSync(victim, join(directory, 'holdfast.child'))
    writeState(directory, freshState())
    recordChild(directory, { pid: process.pid } as Parameters<typeof recordChild>[1])
    untouched()
    for (const name of ['embedded.json', 'holdfast.child'])
      expect(lstatSync(join(directory, name)).mode, name).toBe(0o100600)
  })

  test('the passwords are read only from a closed file of ours', () => {
    const read = () => readState(directory)
    const content = JSON.stringify(freshState())
    const path = join(directory, 'embedded.json')
    writeFileSync(path, content, { mode: 0o600 })
    expect(read()).toBeDefined()
    for (const mode of [0o640, 0o604, 0o620, 0o644]) {
      chmodSync(path, mode)
      expect(read, mode.toString(8)).toThrow(/chmod 600/)
    }
    chmodSync(path, 0o600)
    if (isRoot) {
      chownSync(path, nobody, nobody)
      expect(read).toThrow(/chown 0/)
    }
    rmSync(path)
    const elsewhere = join(base, 'elsewhere')
    writeFileSync(elsewhere, content, { mode: 0o600 })
    symlinkSync(elsewhere, path)
    expect(read).toThrow(/link/)
    rmSync(path)
    mkdirSync(path, { mode: 0o700 })
    expect(read).toThrow(/regular file/)
  })
})
