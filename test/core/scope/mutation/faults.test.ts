import { beforeAll, describe, expect, it } from 'vitest'
import { createScope, loadKernel } from '../../../../src/core/scope/scope.ts'
import { bases } from '../prover/bases.ts'
import { everything, office } from '../prover/office.ts'
import { officeCallers } from './callers.ts'
import { complaintsOf } from './confinement.ts'
import { editsOfFaults, FaultTrials } from './fault-trials.ts'
import { faults } from './faults.ts'
import { statements } from './statements.ts'

let trials: FaultTrials
const seen = new Set<string>()
/** A third of them here; all, and every mutant of the rewriter, in the long run: docs/reports/mutation.md. */
const some = faults.filter((_, index) => index % 3 === 0)

beforeAll(async () => {
  await loadKernel()
  trials = await FaultTrials.prepare(editsOfFaults(some), statements, officeCallers, true)
})

it('without a fault every statement that is sent is confined', () => {
  expect(trials.sent).toBeGreaterThan(100)
  expect(trials.complaints()).toEqual([])
})

it('each of the faults is one of the rewriter as it is', () => {
  expect(editsOfFaults(faults).length).toBeGreaterThanOrEqual(100)
})

describe('a rewriter with a fault sends nothing that does harm', () => {
  it.each(some.map(({ name }, index) => [name, index + 1] as const))('%s', (name, id) => {
    const { changes } = trials.run(id, name)
    if (changes.length > 0) seen.add(name)
    expect(changes.filter(({ fate }) => fate === 'harmful')).toEqual([])
  })

  // of the thinned statements not every fault changes one; the long run has them all
  it('and nearly all of the faults change something', () => {
    expect(seen.size).toBeGreaterThanOrEqual(30)
    expect(seen.size).toBeGreaterThan(0.85 * some.length)
  })
})

it('the checker sees by itself that a confinement is gone', () => {
  const scope = createScope({ manifest: office, dialect: 'postgresql' })
  const confinement = /(?: AND|(?<= WHERE)) "\w+"\."\w+" OPERATOR\(pg_catalog\.=\) \$\d+::int8(?: AND)?/g
  let taken = 0
  for (const text of bases) {
    const { text: final, slots } = scope.scope(text, everything)
    for (const { 0: part, index } of final.matchAll(confinement)) {
      const faulty = final.slice(0, index) + (part.startsWith(' AND') ? '' : ' true') + final.slice(index + part.length)
      const proper = part.endsWith(' AND') && !part.startsWith(' AND') ? faulty.replace(' true', ' true AND') : faulty
      expect(complaintsOf({ text: proper, slots, manifest: office, grants: everything }), proper).not.toEqual([])
      taken++
    }
  }
  expect(taken).toBeGreaterThan(20)
})
