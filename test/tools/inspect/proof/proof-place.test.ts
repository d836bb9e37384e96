import { describe, expect, it } from 'vitest'
import { productionReason } from '../../../../src/tools/inspect/proof/proof-place.ts'

const at = (host: string): { url: string } => ({ url: `postgresql://u:p@${host}/d` })

describe('a database counts as one in production', () => {
  it.each([
    ['db.example.com', /^its host is db.example.com$/],
    ['10.0.0.7', /^its host is 10.0.0.7$/],
    ['localhost.example.com', /host/],
    ['[2001:db8::1]', /^its host is 2001:db8::1$/],
  ])('at %s', (host, why) => {
    expect(productionReason({ migrator: at(host) }, {})).toMatch(why)
    expect(productionReason({ app: at(host), migrator: at('127.0.0.1') }, {})).toMatch(why)
  })

  it.each(['127.0.0.1', '127.1.2.3', 'localhost', '[::1]'])('not at %s, unless NODE_ENV says so', (host) => {
    expect(productionReason({ app: at(host) }, { NODE_ENV: 'development' })).toBeUndefined()
    expect(productionReason({ app: at(host) }, { NODE_ENV: 'production' })).toBe('NODE_ENV is production')
  })

  it('not on a Unix socket', () => {
    expect(
      productionReason({ migrator: { url: 'postgresql://u:p@localhost/d?host=/run/postgresql' } }, {}),
    ).toBeUndefined()
  })
})
