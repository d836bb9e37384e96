import { parseManifest } from '../../../../src/core/scope/manifest.ts'
import { createScope } from '../../../../src/core/scope/scope.ts'
import { Arena, type Open } from './arena.ts'
import { Dice, seedOf } from './dice.ts'
import type { Failure } from './failure.ts'
import { isFailure, Judge, type Verdict } from './judge.ts'
import { mutated } from './mutate.ts'
import { makeStatement, type Statement } from './statement.ts'
import { makeWorld, manifestOf, type World } from './world.ts'

/** What came of a number of statements. */
export type Tally = {
  statements: number
  mutated: number
  /** statements by class */
  classes: Record<string, number>
  /** refusals by code */
  refusals: Record<string, number>
  /** statements by what they do, and of these the admitted */
  kinds: Record<string, { made: number; admitted: number }>
  /** errors by SQLSTATE of what both walls end in alike */
  errors: Record<string, number>
  /** statements by what they were compared with besides the other wall */
  compared: Record<string, number>
}

export function emptyTally(): Tally {
  return { statements: 0, mutated: 0, classes: {}, refusals: {}, kinds: {}, errors: {}, compared: {} }
}

/** Adds one tally to another. */
export function merge(into: Tally, more: Tally): void {
  into.statements += more.statements
  into.mutated += more.mutated
  for (const key of ['classes', 'refusals', 'errors', 'compared'] as const) {
    for (const [name, number] of Object.entries(more[key])) into[key][name] = (into[key][name] ?? 0) + number
  }
  for (const [kind, { made, admitted }] of Object.entries(more.kinds)) {
    const of = (into.kinds[kind] ??= { made: 0, admitted: 0 })
    of.made += made
    of.admitted += admitted
  }
}

/** How often another role sends the text in between: to scope it once more costs as much as all the rest. */
const OTHER_ROLES = 0.25

/**
 * Makes world number `number` of a seed and judges statements in it, half of them mutated.
 * @param o.onFailure - told of each statement that no class explains
 * @param o.examples - classes of which it is told as well, of each once
 */
export async function campaign(o: {
  readonly seed: number
  readonly number: number
  readonly count: number
  readonly open: Open
  readonly onFailure: (failure: Failure) => void
  readonly examples?: ReadonlySet<string>
}): Promise<Tally> {
  const dice = new Dice(seedOf(o.seed, o.number))
  const world = makeWorld(dice)
  const caller = { tenantId: dice.pick(world.tenants), userId: dice.pick(world.users) }
  const scope = createScope({ manifest: parseManifest(manifestOf(world)), dialect: 'postgresql' })
  const [firstRole] = world.roles
  if (firstRole === undefined) throw new TypeError('a world has roles')
  const arena = await Arena.make(world, { ...caller, role: firstRole }, o.open)
  const tally = emptyTally()
  const wanted = new Set(o.examples)
  try {
    for (const [place, role] of world.roles.entries()) {
      await arena.enter(role)
      const judge = new Judge(arena, scope)
      const most = share(o.count, role.name, world)
      for (let index = 0; index < most; index++) {
        const each = new Dice(seedOf(o.seed, o.number, place, index))
        const made = makeStatement(each, world, role, caller)
        const changed = each.chance(0.5) ? mutated(each, made) : undefined
        const statement = changed ?? made
        const other = each.chance(OTHER_ROLES)
          ? each.pick(world.roles.filter(({ name }) => name !== role.name))
          : undefined
        const verdict = await judge.judge(statement, other)
        count(tally, statement, verdict, changed !== undefined)
        const { className, detail } = verdict
        if (!isFailure(verdict) && !wanted.delete(className)) continue
        const from = `seed ${o.seed}, world ${o.number}, ${role.name} ${index}`
        o.onFailure({
          world,
          ...caller,
          role: role.name,
          other: other?.name,
          statement,
          found: { className, detail },
          from,
        })
      }
    }
    return tally
  } finally {
    await arena.close()
  }
}

/** A role that may not read has little to say. */
function share(count: number, role: string, { roles }: World): number {
  return role === 'blind' ? Math.ceil(count / 40) : Math.ceil((count - Math.ceil(count / 40)) / (roles.length - 1))
}

function count(tally: Tally, { text }: Statement, verdict: Verdict, isMutated: boolean): void {
  const add = (into: Record<string, number>, key: string): void => {
    into[key] = (into[key] ?? 0) + 1
  }
  const isAdmitted = verdict.className !== 'refused'
  const kind = (
    /\b(?:SELECT|INSERT|UPDATE|DELETE|VALUES|TABLE)\b/i.exec(text.replace(/^\s*WITH\b[^]*/i, 'WITH'))?.[0] ?? 'WITH'
  ).toUpperCase()
  tally.statements++
  if (isMutated) tally.mutated++
  add(tally.classes, verdict.className)
  if (!isAdmitted) add(tally.refusals, verdict.detail)
  if (verdict.className === 'fails alike') add(tally.errors, verdict.detail)
  const of = (tally.kinds[kind] ??= { made: 0, admitted: 0 })
  of.made++
  if (isAdmitted) of.admitted++
  for (const comparison of verdict.compared) add(tally.compared, comparison)
}
