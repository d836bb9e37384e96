import { randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, mkdirSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { assertOwnDirectory, readPrivateFile } from '../core/database/private-file.ts'
import { ConfigError } from './config-error.ts'

const FILE = 'key'
/** 256 bits, as HKDF-SHA256 and AES-256 take them. */
const ROOT_KEY_BYTES = 32

/**
 * The root key of an embedded database: made once, beside the data that it belongs to, readable by its owner alone
 * (CWE-276, CWE-321).
 * @throws ConfigError when the file holds something else
 * @throws DatabaseError `embedded_failed` when the directory or the file is a link, somebody else's or open to others
 */
export function embeddedKey(dataDirectory: string): Buffer {
  // As root, PostgreSQL's account must be able to pass. Who could write here could plant a key (CWE-732).
  mkdirSync(dataDirectory, { recursive: true, mode: 0o711 })
  assertOwnDirectory(dataDirectory)
  const path = join(dataDirectory, FILE)
  const found = read(path)
  if (found !== undefined) return found
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
  const text = readPrivateFile(path)?.trim()
  if (text === undefined) return undefined
  const key = Buffer.from(text, 'base64url')
  if (key.length === ROOT_KEY_BYTES && key.toString('base64url') === text) return key
  throw new ConfigError(`${path} does not hold a key of ${ROOT_KEY_BYTES} bytes in base64url. Put the right one back.`)
}
