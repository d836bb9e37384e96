import { randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { ConfigError } from './config-error.ts'

const FILE = 'key'
/** 256 bits, as HKDF-SHA256 and AES-256 take them. */
const ROOT_KEY_BYTES = 32

/**
 * The root key of an embedded database: made once, beside the data that it belongs to, readable by its owner alone
 * (CWE-276, CWE-321).
 * @throws ConfigError when the file holds something else
 */
export function embeddedKey(dataDirectory: string): Buffer {
  const path = join(dataDirectory, FILE)
  const found = read(path)
  if (found !== undefined) return found
  mkdirSync(dataDirectory, { recursive: true })
  const key = randomBytes(ROOT_KEY_BYTES)
  // `wx`: never over a key that is there
  const file = openSync(path, 'wx', 0o600)
  try {
    writeSync(file, key.toString('base64url'))
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  return key
}

function read(path: string): Buffer | undefined {
  let text: string
  try {
    text = readFileSync(path, 'utf8').trim()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  const key = Buffer.from(text, 'base64url')
  if (key.length === ROOT_KEY_BYTES && key.toString('base64url') === text) return key
  throw new ConfigError(`${path} does not hold a key of ${ROOT_KEY_BYTES} bytes in base64url. Put the right one back.`)
}
