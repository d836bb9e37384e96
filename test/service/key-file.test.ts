import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { embeddedKey } from '../../src/service/key-file.ts'

const isRoot = process.getuid?.() === 0
const nobody = 65_534
const text = Buffer.alloc(32, 7).toString('base64url')

let base: string
let directory: string
let path: string

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'hf-'))
  directory = join(base, 'data')
  path = join(directory, 'key')
})
afterEach(() => rmSync(base, { recursive: true, force: true }))

/** A data directory with a key that may be trusted. */
function plant(): void {
  mkdirSync(directory)
  chmodSync(directory, 0o711)
  writeFileSync(path, text, { mode: 0o600 })
}

test('is made once, closed, in a directory made for it whatever the umask is', () => {
  const before = process.umask(0o002)
  try {
    const key = embeddedKey(directory)
    expect(key).toHaveLength(32)
    expect(embeddedKey(directory)).toEqual(key)
  } finally {
    process.umask(before)
  }
  expect(statSync(path).mode & 0o777).toBe(0o600)
  expect(statSync(directory).mode & 0o022).toBe(0)
})

test('of another length is refused', () => {
  plant()
  writeFileSync(path, text.slice(1))
  expect(() => embeddedKey(directory)).toThrow(/does not hold a key/)
})

test.each([0o777, 0o1777, 0o770, 0o702])('in a directory that others may write to (mode %d) is refused', (mode) => {
  plant()
  expect(embeddedKey(directory).toString('base64url')).toBe(text)
  chmodSync(directory, mode)
  expect(() => embeddedKey(directory)).toThrow(/chmod go-w/)
})

test.each([0o640, 0o604, 0o620, 0o644])('that others may read or write (mode %d) is refused', (mode) => {
  plant()
  chmodSync(path, mode)
  expect(() => embeddedKey(directory)).toThrow(/chmod 600/)
})

test.runIf(isRoot)('of somebody else, or in a directory of theirs, is refused', () => {
  plant()
  chownSync(path, nobody, nobody)
  expect(() => embeddedKey(directory)).toThrow(/chown 0/)
  chownSync(path, 0, 0)
  chownSync(directory, nobody, nobody)
  expect(() => embeddedKey(directory)).toThrow(/chown 0/)
})

test('behind a link is refused, of the file and of the directory', () => {
  plant()
  const link = join(base, 'link')
  symlinkSync(directory, link)
  expect(() => embeddedKey(link)).toThrow(/link/)
  const other = join(base, 'other')
  writeFileSync(other, text, { mode: 0o600 })
  rmSync(path)
  symlinkSync(other, path)
  expect(() => embeddedKey(directory)).toThrow(/link/)
})
