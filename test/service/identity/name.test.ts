import { expect, test } from 'vitest'
import { parseName, userAgentOf } from '../../../src/service/identity/name.ts'

test.each([
  ['Ada Lovelace', 'Ada Lovelace'],
  ['  Ada  ', 'Ada'],
  ['Jose\u0301', 'Jos\u00e9'],
  ['👩\u200d🔬', '👩\u200d🔬'],
  ['I \u2764\ufe0f', 'I \u2764\ufe0f'],
  ['x'.repeat(200), 'x'.repeat(200)],
])('%j is the name %j', (text, name) => {
  expect(parseName(text, 'display_name_invalid')).toBe(name)
})

test.each([
  '\u3164',
  '\u034f',
  '\u2800',
  'a\u3164',
  'a\u034fb',
  'a\u115fb',
  '\u0301',
  '\ufe0f',
  '',
  '   ',
  '\u200d',
  'a\u0000b',
  'a\nb',
  'a\u202eb',
  'a\u2028b',
  'a\ufeffb',
  'a\ud800',
  'x'.repeat(201),
])('%j is no name', (text) => {
  expect(() => parseName(text, 'tenant_name_invalid')).toThrowError(
    expect.objectContaining({ code: 'tenant_name_invalid' }),
  )
})

test('a user agent is cut and cleaned', () => {
  expect(userAgentOf(undefined)).toBe('')
  expect(userAgentOf('curl/8\r\n\u001b[31m')).toBe('curl/8[31m')
  expect(userAgentOf('🦊'.repeat(300))).toBe('🦊'.repeat(200))
})
