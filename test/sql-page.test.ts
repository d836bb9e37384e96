import { readFileSync } from 'node:fs'
import { beforeAll, expect, it } from 'vitest'
import { parseGrants } from '../src/core/scope/grants.ts'
import { parseManifest } from '../src/core/scope/manifest.ts'
import { ScopeRefusal } from '../src/core/scope/refusals.ts'
import { createScope, loadKernel, type Scope } from '../src/core/scope/scope.ts'

const page = readFileSync(new URL('../docs/sql.md', import.meta.url), 'utf8')
const manifest = parseManifest(JSON.parse(/```json\n([^]*?)```/.exec(page)?.[1] ?? '') as unknown)
const examples = [...page.matchAll(/```sql\n([^]*?)```/g)].map(([, text = '']) => text)

let scope: Scope
beforeAll(async () => {
  await loadKernel()
  scope = createScope({ manifest, dialect: 'postgresql' })
})

it('docs/sql.md has its examples', () => {
  expect(examples.length).toBeGreaterThan(18)
  expect(examples.filter((text) => text.includes('refused:')).length).toBeGreaterThan(7)
})

it.each(examples)('docs/sql.md, example %#', (text) => {
  const role = /^-- as (\w+)/.exec(text)?.[1] ?? 'owner'
  const code = /^-- .*refused: (\w+)/.exec(text)?.[1]
  expect(outcome(text, role)).toMatch(
    code === undefined ? /^(?:SELECT|WITH|INSERT|UPDATE|DELETE)/ : new RegExp(`^${code}$`),
  )
  if (role === 'clerk') expect(outcome(text, role)).not.toContain('"margin"')
})

function outcome(text: string, role: string): string {
  try {
    return scope.scope(text, parseGrants(manifest.roles[role] ?? []), role).text.trim()
  } catch (error) {
    if (!(error instanceof ScopeRefusal)) throw error
    return error.code
  }
}
