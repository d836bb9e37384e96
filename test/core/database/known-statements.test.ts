import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { KnownStatements } from '../../../src/core/database/known-statements.ts'

const statement = (name: string) => ({ name, text: `SELECT '${name}'` })

describe('prepared names of a connection', () => {
  test('the least recently used is closed first', () => {
    const names = new KnownStatements(3, false)
    for (const name of ['a', 'b', 'c']) names.add(statement(name))
    names.use(statement('a'))
    expect(names.takeClosing(new Set(['d']), 1)).toEqual(['b'])
    expect(names.use(statement('b'))).toBeUndefined()
    expect(names.use(statement('a'))).toBeDefined()
  })

  test('forgotten names are closed with the next flight, once', () => {
    const names = new KnownStatements(3, false)
    names.add(statement('a'))
    names.forgetAll()
    expect(names.use(statement('a'))).toBeUndefined()
    expect(names.takeClosing(new Set(), 0)).toEqual(['a'])
    expect(names.takeClosing(new Set(), 0)).toEqual([])
  })

  test('law: what the connection thinks and what a server would have are the same set, within the limit', () => {
    const flight = fc.uniqueArray(fc.integer({ min: 0, max: 12 }).map(String), { minLength: 1, maxLength: 5 })
    fc.assert(
      fc.property(fc.array(flight, { maxLength: 40 }), (flights) => {
        const names = new KnownStatements(5, false)
        const server = new Set<string>()
        for (const used of flights) {
          const fresh = used.filter((name) => names.use(statement(name)) === undefined)
          for (const name of names.takeClosing(new Set(used), fresh.length)) {
            expect(used).not.toContain(name)
            expect(server.delete(name)).toBe(true)
          }
          for (const name of fresh) {
            expect(server.has(name)).toBe(false)
            server.add(name)
            names.add(statement(name))
          }
          for (const name of used) expect(server.has(name)).toBe(true)
          expect(server.size).toBeLessThanOrEqual(5)
        }
      }),
    )
  })
})
