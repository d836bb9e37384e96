import { afterAll, beforeAll, expect, test } from 'vitest'
import { sweep } from '../../../src/service/identity/sweep.ts'
import { openRoom, type Room } from '../room.ts'

let room: Room
beforeAll(async () => {
  room = await openRoom()
})
afterAll(() => room.close())

test('what has expired goes, what has not stays', async () => {
  const user = await room.account('ada@example.com')
  const rows: [string, string, number][] = [
    ['throttle (key, failures, blocked_until, expires_at)', `1, now(), now()`, 0],
    ['throttle (key, failures, blocked_until, expires_at)', `1, now(), now() + INTERVAL '1 minute'`, 1],
    ['one_time_tokens (token_hash, purpose, email, expires_at)', `'sign_up', 'a', now() - INTERVAL '25 hours'`, 0],
    ['one_time_tokens (token_hash, purpose, email, expires_at)', `'sign_up', 'b', now() - INTERVAL '23 hours'`, 1],
    [
      'sessions (token_hash, user_id, idle_seconds, expires_at, revoked_at)',
      `'${user}', 1, now(), now() - INTERVAL '25 hours'`,
      0,
    ],
    ['sessions (token_hash, user_id, idle_seconds, expires_at)', `'${user}', 1, now() - INTERVAL '31 days'`, 0],
    ['sessions (token_hash, user_id, idle_seconds, expires_at)', `'${user}', 1, now() - INTERVAL '29 days'`, 1],
  ]
  for (const [index, [columns, values, stays]] of rows.entries()) {
    await room.database.owner(`INSERT INTO holdfast.${columns} VALUES ('\\x0${index}${stays}${stays}', ${values})`)
  }
  await sweep(room.pool)
  for (const table of ['throttle', 'one_time_tokens', 'sessions']) {
    const column = table === 'throttle' ? 'key' : 'token_hash'
    const left = await room.database.owner(`SELECT encode(${column}, 'hex') AS key FROM holdfast.${table}`)
    expect(left.map(({ key }) => String(key).slice(2))).toEqual(['11'])
  }
})
