import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openMessage } from '../../src/service/mail/outbox.ts'
import { type House, openHouse } from './house.ts'

let house: House
beforeAll(async () => {
  house = await openHouse()
})
afterAll(() => house.close())

/** Everything that a client can tell two answers apart by, but for what is random in each by design. */
async function answerOf(response: Response): Promise<string> {
  const headers = [...response.headers].filter(([name]) => name !== 'date')
  return JSON.stringify([response.status, headers, (await response.text()).replace(/"request_id":"[^"]*"/, '')])
}
const post = (path: string, body: unknown): Promise<Response> =>
  fetch(house.origin + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })

async function mailsTo(recipient: string): Promise<string[]> {
  const rows = await house.database.owner('SELECT id, sealed FROM holdfast.outbox WHERE recipient = $1', [recipient])
  return rows.map(
    ({ id, sealed }) =>
      openMessage(house.identity.keys.outbox, { id: String(id), recipient, sealed: sealed as Buffer }).text,
  )
}

describe('a hundred sign-ups at once with one address', () => {
  it('make one account and a hundred equal answers', async () => {
    const email = 'new@example.com'
    const answers = await Promise.all(
      Array.from({ length: 100 }, async () => answerOf(await post('/v1/sign-up', { email }))),
    )
    expect(new Set(answers).size).toBe(1)
    expect(answers[0]).toContain('[202,')
    const mails = await mailsTo(email)
    expect(mails).toHaveLength(1)

    const token = /^hfu_\S+$/m.exec(mails[0] ?? '')?.[0]
    const completion = { token, password: 'a password that is long enough', display_name: 'New' }
    const completed = await Promise.all(
      Array.from({ length: 100 }, async () => answerOf(await post('/v1/sign-up/complete', completion))),
    )
    expect(completed.filter((answer) => answer.startsWith('[201,'))).toHaveLength(1)
    const refused = completed.filter((answer) => !answer.startsWith('[201,'))
    // used already, or more tries of one token than are free
    for (const answer of refused) expect(answer).toMatch(/^\[(400,.*token_invalid|429,.*throttled)/s)
    expect(await house.database.owner('SELECT email FROM holdfast.users WHERE email = $1', [email])).toHaveLength(1)
  })

  it('answer the same for an address that has an account', async () => {
    const taken = house.tenants.acme.users.owner.email
    const answers = await Promise.all(
      [taken, 'nobody@example.com'].map(async (email) => answerOf(await post('/v1/sign-up', { email }))),
    )
    expect(answers[0]).toBe(answers[1])
    expect((await mailsTo(taken))[0]).not.toMatch(/hfu_/)
  })
})
