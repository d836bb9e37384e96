import { type ConnectionTarget, isLocal, readTarget } from '../../../core/database/connection-target.ts'
import type { ProofTargets } from './stage.ts'

/**
 * Why a database is taken for one in production: its host is not this machine, or NODE_ENV says so – a tunnel's end is on
 * this machine, too. Nothing where it is for development.
 *
 * @throws DatabaseError `database_target_invalid`
 */
export function productionReason(
  { app, migrator }: ProofTargets,
  environment: Readonly<Record<string, string | undefined>>,
): string | undefined {
  for (const target of [app, migrator]) {
    const host = target === undefined ? undefined : hostOf(target)
    if (host !== undefined && !isLocal(host)) return `its host is ${host}`
  }
  return environment['NODE_ENV'] === 'production' ? 'NODE_ENV is production' : undefined
}

function hostOf(target: ConnectionTarget): string {
  return readTarget(target).host
}
