import { expect, it } from 'vitest'
import { openApp } from './open-app.ts'

const { as, test } = await openApp()

it('a ticket is written, read with its comments, closed', async () => {
  const member = await as('acme', 'member')
  const { status, body } = await member('POST /tickets', { title: 'Broken', body: 'It broke.' })
  expect([status, body['status']]).toEqual([201, 'open'])
  const path = `/tickets/${body['id']}`
  expect((await member(`GET ${path}`)).body).toMatchObject({ title: 'Broken', comments: [{ body: 'It broke.' }] })
  expect((await member(`POST ${path}/close`)).body).toMatchObject({ status: 'closed' })
  expect((await member('GET /tickets')).body).toMatchObject({ tickets: [{ title: 'Broken', status: 'closed' }] })
})

it('without a word on it a ticket stays open', async () => {
  const member = await as('acme', 'member')
  const { body } = await member('POST /tickets', { title: 'Broken', body: 'It broke.' })
  await test.asOwner('DELETE FROM app.comments')
  expect((await member(`POST /tickets/${body['id']}/close`)).status).toBe(409)
  expect(await test.asOwner('SELECT status FROM app.tickets')).toEqual([{ status: 'open' }])
})

it('a colleague closes no ticket of mine, and a viewer sees only their own', async () => {
  const [ann, bob, owner, viewer] = [
    await as('acme', 'member'),
    await as('acme', 'member'),
    await as('acme', 'owner'),
    await as('acme', 'viewer'),
  ]
  const { body } = await ann('POST /tickets', { title: 'Mine', body: 'x' })
  expect((await bob(`POST /tickets/${body['id']}/close`)).status).toBe(404)
  expect((await viewer('GET /tickets')).body).toEqual({ tickets: [] })
  expect((await viewer(`GET /tickets/${body['id']}`)).status).toBe(403)
  expect((await owner(`POST /tickets/${body['id']}/close`)).status).toBe(200)
})

it('another tenant finds nothing of it, even with its id', async () => {
  const { body } = await (await as('acme', 'member'))('POST /tickets', { title: 'Broken', body: 'It broke.' })
  const stranger = await as('globex', 'owner')
  expect((await stranger('GET /tickets')).body).toEqual({ tickets: [] })
  expect((await stranger(`GET /tickets/${body['id']}`)).status).toBe(404)
  expect((await stranger(`POST /tickets/${body['id']}/close`)).status).toBe(404)
  // past both walls: it is as it was
  expect(await test.asOwner('SELECT status FROM app.tickets')).toEqual([{ status: 'open' }])
})
