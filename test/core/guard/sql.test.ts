import { describe, expect, it } from 'vitest'
import { body, caller, param, query, resolveValues, sql } from '../../../src/core/guard/sql.ts'

const input = { params: { slug: 'core' }, query: {}, body: { name: 'Ann' }, caller: { userId: 'u', tenantId: 't' } }

describe('sql', () => {
  it('turns values into parameters, never into text', () => {
    const evil = `'; DROP TABLE teams; --`
    expect(sql`SELECT id FROM teams WHERE slug = ${evil} AND name = ${7}`).toEqual({
      text: 'SELECT id FROM teams WHERE slug = $1 AND name = $2',
      values: [evil, 7],
    })
  })

  it('takes declared values from the request and the caller', () => {
    const declared = sql`UPDATE t SET n = ${body('name')} WHERE s = ${param('slug')} AND u = ${caller('userId')} AND k = ${3}`
    expect(resolveValues(declared.values, input)).toEqual(['Ann', 'core', 'u', 3])
  })

  it('refuses a source that the request does not have, inherited names too', () => {
    for (const source of [query('page'), param('toString'), body('constructor')]) {
      expect(() => resolveValues([source], input)).toThrow(TypeError)
    }
  })

  it('takes a look-alike from a body as a value', () => {
    const forged = { from: 'caller', name: 'tenantId' }
    expect(resolveValues([forged], input)).toEqual([forged])
  })
})
