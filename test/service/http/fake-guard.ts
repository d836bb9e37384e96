import type { Caller, SessionId, TenantId, UserId } from '../../../src/core/guard/caller.ts'
import { newSessionToken } from '../../../src/core/guard/credential.ts'
import type { Guard, Unit, UnitRequest } from '../../../src/core/guard/guard.ts'
import { Answer, type Result, type Row } from '../../../src/core/database/statement.ts'

/** A guard without a database: admits everyone, remembers what it was asked and how each unit ended. */
export type FakeGuard = Guard & {
  readonly requests: UnitRequest[]
  readonly endings: ('committed' | 'rolled back')[]
  /** runs of each handler: two, for a serialization failure in between */
  tries: number
  /** thrown instead of a commit */
  commitError: Error | undefined
  /** rows of the declared first statement */
  rows: Row[]
}

export const caller: Caller = {
  userId: 'u1' as UserId,
  tenantId: 't1' as TenantId,
  role: 'member',
  sessionId: 's1' as SessionId,
  assurance: 'aal1',
  authenticatedAt: new Date(0),
  grants: new Map(),
}

/** A well-formed token. */
export const token = newSessionToken().token
export const bearer = { authorization: `Bearer ${token}` }

export function fakeGuard(): FakeGuard {
  const guard: FakeGuard = {
    requests: [],
    endings: [],
    tries: 1,
    commitError: undefined,
    rows: [],
    async run(request, work) {
      guard.requests.push(request)
      for (let left = guard.tries; ; left--) {
        const after: (() => void | Promise<void>)[] = []
        try {
          const first = request.first?.({ userId: caller.userId, tenantId: caller.tenantId })
          const value = await work(unitOf(first === undefined ? undefined : guard.rows, after))
          if (left > 1) continue
          if (guard.commitError !== undefined) throw guard.commitError
          guard.endings.push('committed')
          return value
        } catch (error) {
          guard.endings.push('rolled back')
          throw error
        }
      }
    },
  }
  return guard
}

function fakeDatabase(result: Result, after: (() => void | Promise<void>)[]): Unit['db'] {
  const answer = async (): Promise<never> => result as never
  const db: Unit['db'] = Object.assign(answer, {
    query: answer,
    last: answer,
    transaction: <T>(work: (inner: Unit['db']) => Promise<T>) => work(db),
    afterCommit: (task: () => void | Promise<void>) => void after.push(task),
  })
  return db
}

function unitOf(rows: Row[] | undefined, after: (() => void | Promise<void>)[]): Unit {
  const result = new Answer(rows ?? [], rows?.length ?? 0, 'SELECT', [])
  return {
    caller,
    first: rows === undefined ? undefined : result,
    db: fakeDatabase(result, after),
    afterCommit: (task) => void after.push(task),
  }
}
