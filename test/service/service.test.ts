import { afterEach, describe, expect, it } from 'vitest'
import { type OpenService, openService } from './http/open-service.ts'

let room: OpenService | undefined
afterEach(async () => {
  await room?.close()
  room = undefined
})

describe('the service on a database of yours', () => {
  it('listens, is ready, counts, and ends cleanly', async () => {
    room = await openService()
    const { url, metricsUrl } = await room.service.listen()
    expect((await fetch(`${url}/ready`)).status).toBe(200)
    const metrics = await (await fetch(String(metricsUrl))).text()
    expect(metrics).toMatch(/holdfast_database_connections\{pool="app",state="open"\} [1-9]/)
    expect(metrics).toContain('holdfast_password_hashes{state="waiting"} 0')
    await Promise.all([room.service.stop(), room.service.stop()])
    await expect(fetch(`${url}/health`)).rejects.toThrow()
    await expect(fetch(String(metricsUrl))).rejects.toThrow()
  })

  it('is not ready once the database is behind or gone, and says no more', async () => {
    room = await openService()
    const { app } = room.service.server
    expect((await app.inject('/ready')).statusCode).toBe(200)
    await room.database.owner(
      'DELETE FROM holdfast.migrations WHERE version = (SELECT max(version) FROM holdfast.migrations)',
    )
    // the answer is shared for a second
    await new Promise((resolve) => setTimeout(resolve, 1_100))
    const behind = await app.inject('/ready')
    expect([behind.statusCode, behind.json<{ code: string }>().code]).toEqual([503, 'unavailable'])
    expect(behind.body).not.toMatch(/migration|postgres|socket|\/tmp/)
    expect((await app.inject('/health')).statusCode).toBe(200)
  })

  it('has a one-time token until there is a tenant', async () => {
    room = await openService()
    const token = await room.service.setupToken()
    const body = {
      token,
      tenant: { slug: 'acme', name: 'Acme' },
      owner: { email: 'ann@acme.example', password: 'a long enough passphrase', display_name: 'Ann' },
    }
    expect((await room.call('POST', '/setup', { body })).status).toBe(201)
    expect((await room.call('POST', '/setup', { body })).status).toBe(400)
    expect(await room.service.setupToken()).toBeUndefined()
  })
})

describe('the service opened to anyone', () => {
  it('goes from an address to a tenant of one’s own', async () => {
    room = await openService({ HOLDFAST_SIGN_UP: 'open' })
    const asked = await room.call('POST', '/sign-up', { body: { email: 'eve@new.example' } })
    expect([asked.status, asked.body]).toEqual([202, { status: 'accepted' }])
    await room.service.outbox.runOnce()
    const token = /^hfu_\S+$/m.exec(room.printed())?.[0] ?? ''
    const password = 'a long enough passphrase'
    const made = await room.call('POST', '/sign-up/complete', { body: { token, password, display_name: 'Eve' } })
    expect(made).toMatchObject({ status: 201, body: { email: 'eve@new.example', tenant: null } })
    const session = await room.call('POST', '/sign-in', { body: { email: 'eve@new.example', password } })
    const own = String(session.body['token'])
    expect(session.body).toMatchObject({ tenant: null, tenants: [] })
    expect((await room.call('GET', '/me', { token: own })).status).toBe(400)
    expect(await room.call('POST', '/tenants', { token: own, body: { slug: 'eves', name: 'Eve’s' } })).toMatchObject({
      status: 201,
      body: { slug: 'eves', role: 'owner' },
    })
    const again = { token: own, body: { slug: 'eves', name: 'x' } }
    expect(await room.call('POST', '/tenants', again)).toMatchObject({ status: 409, body: { code: 'slug_taken' } })
    const chosen = await room.call('POST', '/session/tenant', { token: own, body: { tenant: 'eves' } })
    expect((await room.call('GET', '/me', { token: String(chosen.body['token']) })).body).toMatchObject({
      display_name: 'Eve',
    })
  })

  it('makes guessers wait, and says how long', async () => {
    room = await openService()
    let answer = await room.call('POST', '/sign-in', { body: { email: 'x@y.example', password: 'wrong' } })
    for (let tries = 0; tries < 12 && answer.status === 401; tries++) {
      answer = await room.call('POST', '/sign-in', { body: { email: 'x@y.example', password: 'wrong' } })
    }
    expect([answer.status, answer.body['code']]).toEqual([429, 'throttled'])
    expect(Number(answer.headers['retry-after'])).toBeGreaterThanOrEqual(1)
  })
})
