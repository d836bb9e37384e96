import { admit } from '../src/core/scope/admit.ts'
import { prove } from '../src/core/scope/prover/prove.ts'
import { rewrite } from '../src/core/scope/rewrite.ts'
import { createScope, type Scope } from '../src/core/scope/scope.ts'
import { billing, everyGrant } from './billing.ts'
import { median } from './median.ts'

/**
 * Microseconds of one call, medians over batches: by the clock, and of CPU, which a machine that does other work as well
 * tells better; what the process's collector and compiler do meanwhile is in both.
 */
export type Cost = { readonly clock: number; readonly cpu: number }

const HIT_BATCHES = 60
const HITS_A_BATCH = 20_000
const COLD_BATCHES = 40
const COLD_A_BATCH = 50

/** A join of three tables; the number makes it a text that was never seen. */
const join = (number: number): string => `SELECT c.name, i.number, l.amount
FROM invoices i
JOIN customers c ON c.id = i.customer_id
JOIN lines l ON l.invoice_id = i.id
WHERE i.id = $1 AND l.amount > ${number}
ORDER BY l.amount DESC
LIMIT 50`

/** Texts of an application; a hundred of them are asked for. */
const KNOWN = 500
const ASKED = 100

/**
 * A statement that is known.
 * @param isSame - whether the text is the same string at each call, as a declared statement's is, or one put together
 * afresh, as a template tag's is
 */
export function measureHits(isSame: boolean): Cost {
  const scope = createScope({ manifest: billing, dialect: 'postgresql' })
  for (let number = 0; number < KNOWN; number++) scope.scope(join(number), everyGrant)
  const texts = Array.from({ length: ASKED }, (_, number) => join(number))
  return measured(HIT_BATCHES, HITS_A_BATCH, (count) => {
    const number = count % ASKED
    scope.scope(isSame ? (texts[number] ?? '') : join(number), everyGrant)
  })
}

export type Cold = {
  /** of the first statement in the process, by the clock: nothing is compiled yet */
  readonly first: number
  readonly whole: Cost
  readonly admit: Cost
  readonly rewrite: Cost
  readonly prove: Cost
}

/** A three-way join that was never seen, whole and by stage. */
export function measureCold(): Cold {
  const scope: Scope = createScope({ manifest: billing, dialect: 'postgresql' })
  const started = performance.now()
  scope.scope(join(0), everyGrant)
  const first = (performance.now() - started) * 1000
  let number = 0
  const whole = measured(COLD_BATCHES, COLD_A_BATCH, () => scope.scope(join(++number), everyGrant))
  const admitted = admit(join(0), billing)
  const draft = rewrite(admitted, billing, everyGrant)
  const claim = { text: draft.apply(), slots: draft.slots, manifest: billing, grants: everyGrant }
  return {
    first,
    whole,
    admit: measured(COLD_BATCHES, COLD_A_BATCH, () => admit(join(++number), billing)),
    rewrite: measured(COLD_BATCHES, COLD_A_BATCH, () => rewrite(admitted, billing, everyGrant).apply()),
    prove: measured(COLD_BATCHES, COLD_A_BATCH, () => prove(claim)),
  }
}

/** Calls in batches, of which the first sixth warms up. */
function measured(batches: number, calls: number, work: (count: number) => unknown): Cost {
  const clock: number[] = []
  const cpu: number[] = []
  for (let batch = -Math.ceil(batches / 6); batch < batches; batch++) {
    const before = process.cpuUsage()
    const started = performance.now()
    for (let count = 0; count < calls; count++) work(count)
    const elapsed = performance.now() - started
    const { user, system } = process.cpuUsage(before)
    if (batch < 0) continue
    clock.push((elapsed * 1000) / calls)
    cpu.push((user + system) / calls)
  }
  return { clock: median(clock), cpu: median(cpu) }
}
