import { beforeAll, expect, it } from 'vitest'
import { parseGrants } from '../../../src/core/scope/grants.ts'
import { isScannable } from '../../../src/core/scope/lexis.ts'
import { Unproven } from '../../../src/core/scope/prover/prove.ts'
import { ScopeRefusal } from '../../../src/core/scope/refusals.ts'
import { createScope, loadKernel, type Scope } from '../../../src/core/scope/scope.ts'
import { office } from './prover/office.ts'

let scope: Scope
beforeAll(async () => {
  await loadKernel()
  scope = createScope({ manifest: office, dialect: 'postgresql' })
})

function refusalOf(text: string, permissions: readonly string[] = ['doc:read']): ScopeRefusal {
  try {
    scope.scope(text, parseGrants(permissions))
  } catch (error) {
    if (error instanceof ScopeRefusal) return error
    throw error
  }
  throw new Error('it was sent')
}

it('runs of operator characters cost the square of their lengths, those of at least 16', () => {
  expect(isScannable('+'.repeat(1_000))).toBe(true)
  expect(isScannable('+'.repeat(1_001))).toBe(false)
  expect(isScannable(`${'-'.repeat(707)} ${'~'.repeat(707)}`)).toBe(true)
  expect(isScannable(`${'-'.repeat(708)} ${'~'.repeat(708)}`)).toBe(false)
  expect(isScannable(`${'+'.repeat(1_000)} ${'+'.repeat(16)}`)).toBe(false)
  expect(isScannable(`${'+'.repeat(1_000)} ${`${'+'.repeat(15)} `.repeat(100)}`)).toBe(true)
  for (const sign of '-+*/<>=~!@#%^&|?`') expect(isScannable(sign.repeat(1_001))).toBe(false)
  const { code, hint } = refusalOf(`SELECT 1 ${'+'.repeat(2_000)} 1`)
  expect([code, hint]).toEqual(['text_too_large', 'put blanks between operators'])
})

it('what is no text is refused like one that is malformed', () => {
  for (const text of [undefined, null, 1, {}, ['SELECT 1']]) {
    expect(refusalOf(text as unknown as string).code).toBe('text_malformed')
  }
})

it('a change that is joined with another table reads its own, though it names no column', () => {
  for (const text of ['UPDATE docs SET title = $1 FROM notes', 'DELETE FROM docs USING notes']) {
    const may = ['doc:update', 'doc:delete', 'note:read']
    expect(refusalOf(text, may).hint).toBe('it needs doc:read')
    expect(scope.scope(text, parseGrants([...may, 'doc:read'])).writes).toBe(true)
    expect(scope.scope(text.replace(/ (?:FROM|USING) notes/, ''), parseGrants(may)).writes).toBe(true)
  }
})

it('the owner is given away under reassign of the whole tenant alone', () => {
  const text = 'UPDATE docs SET owner_id = $1'
  expect(refusalOf(text, ['doc:update', 'doc:read']).hint).toBe('it needs doc:reassign')
  expect(refusalOf(text, ['doc:update', 'doc:reassign@own']).hint).toBe('it needs doc:reassign')
  expect(refusalOf(text, ['doc:update', 'note:reassign']).hint).toBe('it needs doc:reassign')
  expect(scope.scope(text, parseGrants(['doc:update', 'doc:reassign'])).writes).toBe(true)
})

it('a refused name says why only where it is PostgreSQL’s', () => {
  expect(refusalOf('SELECT pg_sleep(1)').hint).toMatch(/^it /)
  expect(refusalOf('SELECT pg_catalog.pg_sleep(1)').hint).toMatch(/^it /)
  expect(refusalOf('SELECT evil.pg_sleep(1)').hint).toBe("declare it in the manifest's functions")
  expect(refusalOf("SELECT 'a'::evil.regclass").hint).toBe("declare it in the manifest's types")
  expect(refusalOf('SELECT nosuch(1)').hint).toMatch(/^no such built-in is known/)
  expect(refusalOf('SELECT 1 OPERATOR(evil.@@@) 2').hint).toMatch(/^use one of pg_catalog’s/)
})

it('what is given out cannot be changed, and says what it is', () => {
  const scoped = scope.scope("SELECT repeat('x', $1::int4) FROM docs", parseGrants(['doc:read']))
  for (const part of [scoped, scoped.sizes, scoped.proof, scoped.slots, scoped.checks]) {
    expect(Object.isFrozen(part)).toBe(true)
  }
  expect(scope.manifest.tables).toEqual(office.tables)
  expect(refusalOf('SELECT )').name).toBe('ScopeRefusal')
  expect(new Unproven('x').name).toBe('Unproven')
  expect(new ScopeRefusal('not_proven')).not.toHaveProperty('cause')
})
