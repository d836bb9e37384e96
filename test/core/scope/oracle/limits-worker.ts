import { parseManifest } from '../../../../src/core/scope/manifest.ts'
import { parseGrants } from '../../../../src/core/scope/grants.ts'
import { ScopeRefusal } from '../../../../src/core/scope/refusals.ts'
import { createScope, loadKernel } from '../../../../src/core/scope/scope.ts'
import { Dice, seedOf } from './dice.ts'
import { mutated } from './mutate.ts'
import { makeStatement } from './statement.ts'
import { makeWorld, manifestOf } from './world.ts'

/** What the process is asked: texts number `from` to `to` of a seed. */
export type Batch = { readonly seed: number; readonly from: number; readonly to: number }
/** What it tells: before each batch is done, so that whoever waits knows where it stands, and after it. */
export type Done = { readonly to: number; readonly scoped: number; readonly refused: Readonly<Record<string, number>> }

await loadKernel()
const world = makeWorld(new Dice(1))
const [role] = world.roles
if (role === undefined) throw new TypeError('a world has roles')
const grants = parseGrants(role.grants)
const scope = createScope({ manifest: parseManifest(manifestOf(world)), dialect: 'postgresql', cacheSize: 1 })

process.on('message', ({ seed, from, to }: Batch) => {
  let scoped = 0
  const refused: Record<string, number> = {}
  for (let number = from; number < to; number++) {
    const text = textOf(new Dice(seedOf(seed, number)))
    try {
      scope.scope(text, grants, role.name)
      scoped++
    } catch (error) {
      // whatever is no refusal ends the process
      if (!(error instanceof ScopeRefusal))
        throw new Error(`seed ${seed}, text ${number}: ${JSON.stringify(text)}`, { cause: error })
      refused[error.code] = (refused[error.code] ?? 0) + 1
    }
  }
  // after millions of texts it still knows SQL
  scope.scope('SELECT 1', grants, role.name)
  process.send?.({ to, scoped, refused } satisfies Done)
})

function textOf(dice: Dice): string {
  const kind = dice.int(1, 10)
  if (kind <= 2)
    return Buffer.from(dice.list(0, 200, () => dice.int(0, 255))).toString(dice.pick(['utf8', 'latin1', 'utf16le']))
  if (kind === 3) return dice.list(1, 60, () => dice.pick(FRAGMENTS)).join(dice.pick(['', ' ']))
  if (kind === 4) return nested(dice)
  const made = makeStatement(dice, world, role as NonNullable<typeof role>, {
    tenantId: world.tenants[0] ?? '',
    userId: world.users[0] ?? '',
  })
  if (kind <= 6) return mutated(dice, made)?.text ?? made.text
  return damaged(dice, made.text)
}

const FRAGMENTS =
  "SELECT|FROM|docs|app.|WHERE|OR|AND|(|)|,|;|--\n|/*|*/|UNION|JOIN|ON|USING (id)|LATERAL|id|*|AS|\"d\"|'|$$|$a$|E'\\'|$1|$99999|::int8|INSERT INTO|VALUES|DEFAULT|UPDATE|SET|DELETE|RETURNING|ON CONFLICT|DO UPDATE|WITH RECURSIVE|FOR UPDATE|ONLY|TABLE|GROUP BY|ORDER BY 1|LIMIT|ARRAY[|]|CASE WHEN|END|NOT|IN|EXISTS|ROW(|.|=|OPERATOR(|U&\"d\"|é|\0|\ud83e|🦊|1e999|0x1F|repeat('a', 999999999)|generate_series(1, 1e12)|MERGE|COPY|;;|x'f'|b'2'|\\".split(
    '|',
  )

/** Few words many times: what a recursive parser has no stack for. */
function nested(dice: Dice): string {
  const [open, inner, close] = dice.pick([
    ['(', '1', ')'],
    ['NOT ', 'true', ''],
    ['- ', '1', ''],
    ['1 + ', '1', ''],
    ['(SELECT ', '1', ')'],
    ['CASE WHEN true THEN ', '1', ' END'],
    ['ARRAY[', '1', ']'],
    ['SELECT 1 UNION ', 'SELECT 1', ''],
    ['a.', 'b', ''],
    ['', '1', '::int8'],
    ['', 'x', '[1]'],
    ['f(', '1', ')'],
    ['1 IN (', '1', ')'],
  ] as const)
  const times = dice.pick([3, 30, 300, 3_000, 30_000])
  return `SELECT ${open.repeat(times)}${inner}${close.repeat(times)}`
}

/** A statement with characters that are lost, doubled, moved or strange. */
function damaged(dice: Dice, text: string): string {
  let out = text
  for (let count = dice.int(1, 4); count > 0; count--) {
    const at = dice.int(0, out.length)
    const end = Math.min(out.length, at + dice.int(0, 12))
    const part = dice.pick([
      '',
      out.slice(at, end).repeat(2),
      dice.pick(FRAGMENTS),
      String.fromCharCode(dice.int(0, 0x2ff)),
      '\ud800',
    ])
    out = out.slice(0, at) + part + out.slice(dice.chance(0.5) ? end : at)
  }
  return out
}
