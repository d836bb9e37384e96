import { parseManifest } from '../../../../src/core/scope/manifest.ts'
import { createScope } from '../../../../src/core/scope/scope.ts'
import { Arena, type Open } from './arena.ts'
import { Judge, type Verdict } from './judge.ts'
import { shrinkStatement, shrinkWorld } from './shrink.ts'
import type { Statement } from './statement.ts'
import { manifestOf, type World } from './world.ts'

/** A statement that no class explained, with all that is needed to run it again. */
export type Failure = {
  readonly world: World
  readonly tenantId: string
  readonly userId: string
  /** names of the role that sent it, and of one that sent the same text in between */
  readonly role: string
  readonly other?: string | undefined
  readonly statement: Statement
  /** what it ended in when it was found */
  readonly found: { readonly className: string; readonly detail: string }
  /** which world and seed made it */
  readonly from: string
}

/** What a failure ends in now. */
export async function replay(failure: Failure, open: Open): Promise<Verdict> {
  const arena = await arenaOf(failure, open)
  try {
    return await judged(failure, arena)
  } finally {
    await arena.close()
  }
}

/** A failure of the same class with a smaller statement in a smaller world. */
export async function shrunk(failure: Failure, open: Open): Promise<Failure> {
  const isSame = ({ className }: Verdict): boolean => className === failure.found.className
  const arena = await arenaOf(failure, open)
  let smaller = failure
  try {
    const statement = await shrinkStatement(failure.statement, async (candidate) =>
      isSame(await judged({ ...failure, statement: candidate }, arena)),
    )
    smaller = { ...failure, statement }
  } finally {
    await arena.close()
  }
  const world = await shrinkWorld(smaller.world, async (candidate) => {
    try {
      return isSame(await replay({ ...smaller, world: candidate }, open))
    } catch {
      // the roles' grants name a resource that is gone, or rows point at rows that are
      return false
    }
  })
  const least = { ...smaller, world }
  const { className, detail } = await replay(least, open)
  return { ...least, found: { className, detail } }
}

function arenaOf({ world, tenantId, userId, role }: Failure, open: Open): Promise<Arena> {
  const sender = world.roles.find(({ name }) => name === role)
  if (sender === undefined) throw new TypeError(`no role ${role}`)
  return Arena.make(world, { tenantId, userId, role: sender }, open)
}

function judged({ world, other, statement }: Failure, arena: Arena): Promise<Verdict> {
  const scope = createScope({ manifest: parseManifest(manifestOf(world)), dialect: 'postgresql' })
  return new Judge(arena, scope).judge(
    statement,
    world.roles.find(({ name }) => name === other),
  )
}
