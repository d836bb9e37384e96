import { expect, it } from 'vitest'
import { openApp } from './open-app.ts'

const { as, app, test } = await openApp()

const hours = (from: number, to: number) => ({
  title: `${from} to ${to}`,
  starts_at: new Date(Date.UTC(2099, 0, 1, from)).toISOString(),
  ends_at: new Date(Date.UTC(2099, 0, 1, to)).toISOString(),
})

async function room(tenant: string): Promise<string> {
  const owner = await as(tenant, 'owner')
  const made = await owner('POST /rooms', { name: 'Blue' })
  expect(made).toMatchObject({ status: 201, body: { name: 'Blue' } })
  return `/rooms/${made.body['id']}`
}

it('a room is booked once at a time, and listed with what is next', async () => {
  const path = await room('acme')
  const member = await as('acme', 'member')
  expect(await member(`POST ${path}/bookings`, hours(9, 11))).toMatchObject({ status: 201 })
  expect(await member(`POST ${path}/bookings`, hours(10, 12))).toMatchObject({ status: 409 })
  expect(await member(`POST ${path}/bookings`, hours(12, 11))).toMatchObject({ status: 409 })
  expect(await member(`POST ${path}/bookings`, hours(11, 12))).toMatchObject({ status: 201 })
  expect(await member('GET /rooms')).toMatchObject({
    body: { rooms: [{ name: 'Blue', next: [{ title: '9 to 11' }, { title: '11 to 12' }] }] },
  })
})

it('all bookings are exported, and the last line says so', async () => {
  const path = await room('acme')
  const member = await as('acme', 'member')
  for (const hour of [9, 10, 11]) await member(`POST ${path}/bookings`, hours(hour, hour + 1))
  const { headers } = await test.asCaller({ tenant: 'acme', role: 'viewer' })
  const lines = (await app.inject({ url: '/bookings/export', headers })).body.trimEnd().split('\n')
  expect(lines.map((line): unknown => JSON.parse(line))).toMatchObject([
    { title: '9 to 10' },
    { title: '10 to 11' },
    { title: '11 to 12' },
    ['end', 3],
  ])
})

it('a booking is taken back by who made it', async () => {
  const path = await room('acme')
  const [ann, bob, viewer] = [await as('acme', 'member'), await as('acme', 'member'), await as('acme', 'viewer')]
  const { body } = await ann(`POST ${path}/bookings`, hours(9, 11))
  expect((await viewer(`DELETE /bookings/${body['id']}`)).status).toBe(403)
  expect((await bob(`DELETE /bookings/${body['id']}`)).status).toBe(404)
  expect((await ann(`DELETE /bookings/${body['id']}`)).status).toBe(204)
})

it('another tenant finds nothing of it, even with its id', async () => {
  const path = await room('acme')
  const { body } = await (await as('acme', 'member'))(`POST ${path}/bookings`, hours(9, 11))
  const stranger = await as('globex', 'owner')
  expect((await stranger('GET /rooms')).body).toEqual({ rooms: [] })
  expect((await stranger(`POST ${path}/bookings`, hours(14, 15))).status).toBe(404)
  expect((await stranger(`DELETE /bookings/${body['id']}`)).status).toBe(404)
  // past both walls: it is as it was
  expect(await test.asOwner('SELECT title FROM app.bookings')).toEqual([{ title: '9 to 11' }])
})
