import { expect, test } from 'vitest'
import { parseEmail } from '../../../src/service/identity/email.ts'

test.each([
  ['ada@example.com', 'ada@example.com'],
  [' Ada@Example.COM\n', 'ada@example.com'],
  ['a.b+tag@sub.example.co', 'a.b+tag@sub.example.co'],
  ["o'hara_{x}=1@example.com".replace("'", ''), 'ohara_{x}=1@example.com'],
  ['jose\u0301@example.com', 'jos\u00e9@example.com'],
  ['ada@b\u00fccher.example', 'ada@xn--bcher-kva.example'],
  ['ada@B\u00dcCHER.example', 'ada@xn--bcher-kva.example'],
  ['ada@\uff45xample.com', 'ada@example.com'],
  ['\u0130da@example.com', '\u0130da@example.com'],
  [`${'a'.repeat(64)}@example.com`, `${'a'.repeat(64)}@example.com`],
])('%j is %j', (text, address) => {
  expect(parseEmail(text)).toBe(address)
  expect(parseEmail(address)).toBe(address)
})

test.each([
  '',
  ' ',
  'ada',
  '@example.com',
  'ada@',
  'ada@localhost',
  'ada@example.com,eve@example.net',
  'ada@example.com;eve@example.net',
  'ada@example.com eve@example.net',
  'ada@eve@example.com',
  '"ada"@example.com',
  '"a@b"@example.com',
  'ada\r\nBcc: eve@example.net@example.com',
  'ada@example.com\r\nBcc:eve@example.net',
  'a da@example.com',
  'ada\u0000@example.com',
  'ada\u200b@example.com',
  'ada\u202e@example.com',
  'Ada <ada@example.com>',
  '<ada@example.com>',
  'ada(comment)@example.com',
  '.ada@example.com',
  'ada.@example.com',
  'a..b@example.com',
  'ada@[127.0.0.1]',
  'ada@127.0.0.1',
  'ada@example..com',
  'ada@-example.com',
  'ada@example.com.',
  'eve%example.net@example.com',
  'example.net!eve@example.com',
  'ada\uff20example.com',
  `${'a'.repeat(65)}@example.com`,
  `a@${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(63)}.${'e'.repeat(63)}.com`,
  `${'\u00e9'.repeat(33)}@example.com`,
  'ada\ud800@example.com',
  'ada@example.com/evil',
  'ada@example.com?x',
  'ada@example.com#x',
  'ada@example.com\\evil',
  'ada@exam\tple.com',
  'ada@exam\nple.com',
  'ada@exa%6dple.com',
  'ada@example.com:80',
  'ada@exam\u00adple.com',
])('%j is refused', (text) => {
  expect(() => parseEmail(text)).toThrowError(expect.objectContaining({ code: 'email_invalid', status: 422 }))
})
