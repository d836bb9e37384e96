import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { isLocal, readHosts, readTarget } from '../../../src/core/database/connection-target.ts'
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

  const hosts = (url: string) => {
    const { addresses, order } = readHosts({ url })
    return { order, hosts: addresses.map(({ host, port, ssl }) => [host, port, ssl === undefined ? 'clear' : 'tls']) }
  }
  test.each([
    [
      'postgresql://u:p@h1:26257,h2:26257,h3/d',
      'given',
      [
        ['h1', 26257, 'tls'],
        ['h2', 26257, 'tls'],
        ['h3', 5432, 'tls'],
      ],
    ],
    [
      'postgresql://u:p@127.0.0.1:1,[::1]:2,[2001:db8::1],%2Frun%2Fpg:4/d?load_balance_hosts=random&target_session_attrs=read-write',
      'random',
      [
        ['127.0.0.1', 1, 'clear'],
        ['::1', 2, 'clear'],
        ['2001:db8::1', 5432, 'tls'],
        ['/run/pg', 4, 'clear'],
      ],
    ],
    [
      'postgresql://u:p@db_1,DB-2.Example:65535/d?load_balance_hosts=disable&target_session_attrs=primary',
      'given',
      [
        ['db_1', 5432, 'tls'],
        ['DB-2.Example', 65535, 'tls'],
      ],
    ],
    ['postgresql://u:p@/d?host=%2Frun%2Fpg', 'given', [['/run/pg', 5432, 'clear']]],
    ['postgresql://u:p@:7/d?host=/run/p%2Cg+x', 'given', [['/run/p,g+x', 7, 'clear']]],
  ])('several hosts: %s', (url, order, expected) => {
    expect(hosts(url)).toEqual({ order, hosts: expected })
  })

  test('each host has the whole address, and TLS under its own name', () => {
    const { addresses } = readHosts({ url: 'postgresql://u:p%20w@a,b/d?sslmode=verify-full' })
    expect(addresses).toEqual(
      ['a', 'b'].map((host) => ({ host, port: 5432, user: 'u', password: 'p w', database: 'd', ssl: {} })),
    )
  })

  test('whoever needs one host refuses several', () => {
    expect(() => readTarget({ url: 'postgresql://u:hunter2@a,b/d' })).toThrow(/only one host/)
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
    ['an empty text', ''],
    ['a host that is missing', 'postgresql://u:hunter2@a,,b/d'],
    ['a comma at the end', 'postgresql://u:hunter2@a,/d'],
    ['one host that asks for no TLS among others', 'postgresql://u:hunter2@localhost,b/d?sslmode=disable'],
    ['hosts in both places', 'postgresql://u:hunter2@a,b/d?host=c'],
    ['a port that is none', 'postgresql://u:hunter2@a:x/d'],
    ['port 0', 'postgresql://u:hunter2@a:0/d'],
    ['a port too high', 'postgresql://u:hunter2@a:65536/d'],
    ['an empty port', 'postgresql://u:hunter2@a:/d'],
    ['a port with a sign', 'postgresql://u:hunter2@a:+1/d'],
    ['an IPv6 address without brackets', 'postgresql://u:hunter2@2001:db8::1/d'],
    ['an IPv6 address that is none', 'postgresql://u:hunter2@[::g]/d'],
    ['an IPv6 address with a zone', 'postgresql://u:hunter2@[fe80::1%25eth0]/d'],
    ['an IPv6 bracket that stays open', 'postgresql://u:hunter2@[::1/d'],
    ['something behind a bracket', 'postgresql://u:hunter2@[::1]x/d'],
    ['a password with an @', 'postgresql://u:hun@hunter2@h/d'],
    ['a password with a slash', 'postgresql://u:hun/hunter2@h/d'],
    ['a password with a question mark', 'postgresql://u:p?hunter2=1@h/d'],
    ['a password with a hash', 'postgresql://u:p#hunter2@h/d'],
    ['a password with a colon', 'postgresql://u:p:hunter2@h/d'],
    ['a password that looks like a host', 'postgresql://u:hunter2@h/d?a@b'],
    ['a space', 'postgresql://u:hunter2 @h/d'],
    ['a line break', 'postgresql://u:hunter2@h/d\n'],
    ['a letter that is not ASCII', 'postgresql://u:hunter2@h\u00e4/d'],
    ['a host name with a NUL', 'postgresql://u:hunter2@a%00b/d'],
    ['a password with a NUL', 'postgresql://u:hunter2%00@a/d'],
    ['a host name with a space', 'postgresql://u:hunter2@a%20b/d'],
    ['a host name that is an option', 'postgresql://u:hunter2@-h/d'],
    ['a path in the path', 'postgresql://u:hunter2@a/d/e'],
    ['a parameter twice', 'postgresql://u:hunter2@a/d?sslmode=verify-full&sslmode=disable'],
    ['a parameter twice, once escaped', 'postgresql://u:hunter2@a/d?sslmode=verify-full&%73slmode=disable'],
    ['a parameter without a value', 'postgresql://u:hunter2@a/d?sslmode'],
    ['a standby', 'postgresql://u:hunter2@a/d?target_session_attrs=standby'],
    ['any server', 'postgresql://u:hunter2@a,b/d?target_session_attrs=any'],
    ['another way to balance', 'postgresql://u:hunter2@a,b/d?load_balance_hosts=first'],
    ['more hosts than a cluster has', `postgresql://u:hunter2@${'a,'.repeat(32)}a/d`],
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
