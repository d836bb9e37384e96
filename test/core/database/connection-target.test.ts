import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { isLocal, readTarget } from '../../../src/core/database/connection-target.ts'
import { DatabaseError } from '../../../src/core/database/errors.ts'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'target-'))
  writeFileSync(join(folder, 'ca.pem'), 'CA')
})
afterAll(() => rmSync(folder, { recursive: true }))

const base = { user: 'u', password: 'p', database: 'd' }

describe('a database address', () => {
  test.each([
    ['postgresql://u:p@localhost/d', { ...base, host: 'localhost', port: 5432 }],
    ['postgres://u:p@127.0.0.1:6000/d', { ...base, host: '127.0.0.1', port: 6000 }],
    ['postgresql://u:p@[::1]/d', { ...base, host: '::1', port: 5432 }],
    ['postgresql://u:p@localhost/d?host=/run/pg', { ...base, host: '/run/pg', port: 5432 }],
    [
      'postgresql://u:p%40%2F@%2Frun%2Fpg:7/d%20x',
      { ...base, password: 'p@/', database: 'd x', host: '/run/pg', port: 7 },
    ],
    ['postgresql://u@localhost/d?sslmode=disable', { ...base, password: '', host: 'localhost', port: 5432 }],
    ['postgresql://u:p@localhost/d?sslmode=verify-full', { ...base, host: 'localhost', port: 5432, ssl: {} }],
    // Any other host: verified TLS, said or not.
    ['postgresql://u:p@db.example/d', { ...base, host: 'db.example', port: 5432, ssl: {} }],
    [
      'postgresql://u:p@10.0.0.1/d?sslmode=require&channel_binding=require',
      { ...base, host: '10.0.0.1', port: 5432, ssl: {} },
    ],
  ])('%s', (url, address) => {
    expect(readTarget({ url })).toEqual(address)
  })

  test('certificates are read from their files', () => {
    const url = `postgresql://u:p@db.example/d?sslmode=verify-full&sslrootcert=${encodeURIComponent(join(folder, 'ca.pem'))}`
    expect(readTarget({ url })).toMatchObject({ ssl: { ca: 'CA' } })
  })

  test('an address taken apart gets TLS too', () => {
    expect(readTarget({ ...base, host: 'db.example', port: 1 })).toMatchObject({ ssl: {} })
    expect(readTarget({ ...base, host: '/run', port: 1 })).not.toHaveProperty('ssl')
  })

  test.each([
    ['no URL', 'db.example'],
    ['another scheme', 'mysql://u:hunter2@h/d'],
    ['no database', 'postgresql://u:hunter2@localhost'],
    ['no user', 'postgresql://localhost/d'],
    ['no host', 'postgresql://u:hunter2@/d'],
    ['TLS switched off', 'postgresql://u:hunter2@db.example/d?sslmode=disable'],
    ['TLS that gives way', 'postgresql://u:hunter2@db.example/d?sslmode=prefer'],
    ['TLS of an unknown kind', 'postgresql://u:hunter2@db.example/d?sslmode=no-verify'],
    ['a parameter that might change the session', 'postgresql://u:hunter2@localhost/d?options=-csearch_path%3Devil'],
    ['a certificate that is not there', 'postgresql://u:hunter2@db.example/d?sslrootcert=/nonexistent'],
    ['a malformed escape', 'postgresql://u:%zz@localhost/d'],
  ])('refused: %s', (_, url) => {
    const attempt = (): unknown => readTarget({ url })
    expect(attempt).toThrow(DatabaseError)
    // The password never gets into a message.
    expect(attempt).not.toThrow(/hunter2/)
  })

  test.each([
    ['127.0.0.1', true],
    ['127.9.9.9', true],
    ['localhost', true],
    ['::1', true],
    ['/run/x', true],
    ['127.0.0.1.example', false],
    ['localhost.example', false],
    ['128.0.0.1', false],
    ['', false],
  ])('"%s" is this machine: %s', (host, local) => {
    expect(isLocal(host)).toBe(local)
  })
})
