import { createServer, type Server, type Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { afterEach, describe, expect, test } from 'vitest'
import type { ConnectionAddress } from '../../../src/core/database/connection-target.ts'
import { createPool } from '../../../src/core/database/pool.ts'

// Self-signed for db.test, made for this test alone: openssl req -x509 -newkey ec …
const cert = `-----BEGIN CERTIFICATE-----
MIIBjzCCATWgAwIBAgIUKETc9k/wX1pUy4fhJYQJVxzMGzMwCgYIKoZIzj0EAwIw
EjEQMA4GA1UEAwwHZGIudGVzdDAgFw0yNjExMjQxMTUyMzVaGA8yMTI2MTAzMTEx
NTIzNVowEjEQMA4GA1UEAwwHZGIudGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEH
A0IABDquz/r7ZIke6h7WNMz70TY1AYhmRdBBMLWW2BpHnYwg8puc6l+JtiUjbePP
MykpJZaCZo8T7baEr2D+8JnN7hqjZzBlMB0GA1UdDgQWBBQNsfdVJmWrZ5CKY/s6
I8j0d+U+rDAfBgNVHSMEGDAWgBQNsfdVJmWrZ5CKY/s6I8j0d+U+rDAPBgNVHRMB
Af8EBTADAQH/MBIGA1UdEQQLMAmCB2RiLnRlc3QwCgYIKoZIzj0EAwIDSAAwRQIh
AMq3Y6TTgOgBUiTDWEhDoDXGBPDDEz1L8fdA1nkyzOd6AiB1KHR91kCec3Ehi7C8
jANyqg0o9xUY8BXwDFBZB2lSWw==
-----END CERTIFICATE-----`
const key = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgd7geCINnZjRM2aIc
aMH0hTkOrPjDu19eLrePl4r2DIOhRANCAAQ6rs/6+2SJHuoe1jTM+9E2NQGIZkXQ
QTC1ltgaR52MIPKbnOpfibYlI23jzzMpKSWWgmaPE+22hK9g/vCZze4a
-----END PRIVATE KEY-----`

let server: Server
afterEach(() => new Promise<void>((resolve) => server.close(() => resolve())))

/** A server that answers the client's request for TLS, and tells what it got to read in clear and through TLS. */
async function pretend(answer: 'S' | 'N'): Promise<{ port: number; clear: number[]; through: string[] }> {
  const clear: number[] = []
  const through: string[] = []
  server = createServer((socket: Socket) => {
    socket.on('error', () => undefined)
    socket.once('data', (request) => {
      clear.push(request.length)
      socket.on('data', (more) => clear.push(more.length))
      socket.write(answer)
      if (answer === 'N') return
      socket.removeAllListeners('data')
      const secure = new TLSSocket(socket, { isServer: true, cert, key })
      secure.on('error', () => undefined)
      secure.on('data', (bytes) => {
        through.push(bytes.toString('latin1'))
        secure.destroy()
      })
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return { port: typeof address === 'object' && address !== null ? address.port : 0, clear, through }
}

const open = (port: number, ssl: NonNullable<ConnectionAddress['ssl']>) =>
  createPool({
    connection: { host: '127.0.0.1', port, user: 'somebody', password: 'secret', database: 'd', ssl },
    size: 1,
    applicationName: 'tls',
  }).catch((error: unknown) => error as Error)

describe('TLS', () => {
  test('a server without it is refused, before it learns so much as the name', async () => {
    const server = await pretend('N')
    expect(await open(server.port, {})).toMatchObject({
      code: 'database_unavailable',
      cause: { message: expect.stringContaining('does not support SSL') },
    })
    expect(server.clear).toEqual([8])
  })

  test.each([
    ['of an authority nobody knows', {}, /self-signed|SELF_SIGNED/],
    ['for another name', { ca: cert }, /does not match|ERR_TLS_CERT_ALTNAME_INVALID/],
  ])('a certificate %s is refused, before anything is sent', async (_, ssl, reason) => {
    const server = await pretend('S')
    const error = await open(server.port, ssl)
    expect(error).toMatchObject({ code: 'database_unavailable' })
    expect(String((error as Error).cause)).toMatch(reason)
    expect(server.through).toEqual([])
  })

  test('verification cannot be talked out of', async () => {
    const server = await pretend('S')
    const ssl = { rejectUnauthorized: false, checkServerIdentity: () => undefined } as unknown as { ca: string }
    expect(await open(server.port, ssl)).toMatchObject({ code: 'database_unavailable' })
    expect(server.through).toEqual([])
  })

  test('the right certificate is accepted', async () => {
    const server = await pretend('S')
    await open(server.port, { ca: cert, servername: 'db.test' })
    expect(server.through.join()).toContain('somebody')
  })
})
