import { afterEach, expect, it, vi } from 'vitest'
import { callSite, locate } from '../../../src/core/guard/call-site.ts'
import { ScopeRefusal } from '../../../src/core/scope/refusals.ts'

afterEach(() => vi.unstubAllEnvs())

const text = "SELECT 'secret'\nFROM nothing"
const refusal = (): ScopeRefusal => new ScopeRefusal('relation_unknown', { position: text.indexOf('nothing') })

it('in development a refusal shows where, and how to write it instead', () => {
  const error = refusal()
  locate(error, callSite(), text)
  expect(error.at).toMatch(/^test\/core\/guard\/call-site\.test\.ts:\d+:\d+$/)
  expect(error.stack).toMatch(
    /^ScopeRefusal: The manifest has no such table\. \(test\/.*\)\n {2}2 \| FROM nothing\n {4}\| {6}\^\nInstead: add the table.*\n +at /,
  )
  // a framework may send it to the client
  expect(error.message).toBe('The manifest has no such table.')
  // whoever knows of the call alone says no more, and no less
  const { stack } = error
  locate(error, 'another.ts:1:1')
  expect(error.stack).toBe(stack)
})

it('in production nothing of a statement is in it', () => {
  vi.stubEnv('NODE_ENV', 'production')
  const error = refusal()
  locate(error, callSite(), text)
  expect([error.at, error.excerpt, error.message]).toEqual([undefined, undefined, 'The manifest has no such table.'])
  expect(error.stack).not.toContain('nothing')
})

it('what is no refusal stays as it is', () => {
  const error = new Error('another')
  locate(error, 'here.ts:1:1', text)
  expect(error.message).toBe('another')
})

it('a place that is not in the text shows no line', () => {
  const error = new ScopeRefusal('relation_unknown', { position: 99 })
  locate(error, 'here.ts:1:1', text)
  expect(error.excerpt).toBeUndefined()
})
