import { describe, expect, test } from 'vitest'
import { surpriseOf } from '../../../src/core/database/carry.ts'
import {
  DatabaseError,
  type DatabaseErrorCode,
  databaseErrors,
  EmbeddedInUseError,
  StatementError,
} from '../../../src/core/database/errors.ts'

describe('the catalogue', () => {
  test.each(Object.entries(databaseErrors))('%s has a status and one public sentence', (code, { status, message }) => {
    expect([500, 503]).toContain(status)
    expect(message).toMatch(/^[A-Z].*\.$/)
    const error = new DatabaseError(code as DatabaseErrorCode, 'for operators', new Error('below'))
    expect(error).toMatchObject({
      name: 'DatabaseError',
      code,
      status,
      publicMessage: message,
      message: 'for operators',
    })
    expect(error.cause).toBeInstanceOf(Error)
    expect(error.stack).toContain('errors.test.ts')
  })

  test('what the server said is at hand, and in nothing that is written down', () => {
    const report = {
      sqlstate: '23505',
      severity: 'ERROR',
      message: 'MESSAGE',
      detail: 'DETAIL',
      schema: 'SCHEMA',
      table: 'TABLE',
      constraint: 'CONSTRAINT',
    }
    const error = new StatementError('statement_failed', 2, report)
    expect(error).toMatchObject({ index: 2, sqlstate: '23505' })
    expect([
      error.serverMessage,
      error.detail,
      error.isConstraint('CONSTRAINT'),
      error.isTable('SCHEMA', 'TABLE'),
    ]).toEqual(['MESSAGE', 'DETAIL', true, true])
    expect([error.isConstraint('OTHER'), error.isTable('SCHEMA', 'OTHER')]).toEqual([false, false])
    expect(
      `${JSON.stringify(error)}${JSON.stringify(Object.entries(error))}${String(error)}${error.stack}`,
    ).not.toMatch(/MESSAGE|DETAIL|SCHEMA|TABLE|CONSTRAINT/)
  })

  test('a data directory in use names the process', () => {
    expect(new EmbeddedInUseError(4711, '/data')).toMatchObject({
      code: 'embedded_in_use',
      pid: 4711,
      message: expect.stringContaining('4711'),
    })
  })
})

describe('an answer that differs from what was asked', () => {
  const query = { statement: { name: '', text: '' }, values: [] }
  const load = (commit: boolean) => ({ opening: undefined, queries: [query, query], commit, implicit: false })
  test.each([
    [false, ['SELECT 1', 'UPDATE 0'], 'T', undefined],
    [true, ['SELECT 1', 'UPDATE 0', 'COMMIT'], 'I', undefined],
    [true, ['SELECT 1', 'UPDATE 0'], 'I', undefined],
    [false, ['SELECT 1', 'UPDATE 0'], 'I', 'transaction status I and not T'],
    [false, ['SELECT 1', 'UPDATE 0'], 'E', 'transaction status E and not T'],
    [true, ['SELECT 1', 'UPDATE 0', 'COMMIT'], 'T', 'transaction status T and not I'],
    [true, ['SELECT 1', 'UPDATE 0', 'ROLLBACK'], 'I', 'COMMIT answered ROLLBACK'],
    [true, ['COMMIT', 'UPDATE 0', 'COMMIT'], 'I', 'a query answered COMMIT'],
    [true, ['SELECT 1', 'START TRANSACTION', 'COMMIT'], 'I', 'a query answered START TRANSACTION'],
  ] as const)('commit %s, tags %o, status %s: %s', (commit, tags, status, surprise) => {
    expect(surpriseOf(load(commit), tags, status)).toBe(surprise)
  })
})
