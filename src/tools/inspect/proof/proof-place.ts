import { type ConnectionTarget, isLocal, readHosts } from '../../../core/database/connection-target.ts'
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
    const hosts = target === undefined ? [] : hostsOf(target)
    const host = hosts.find((each) => !isLocal(each))
    if (host !== undefined) return `its host is ${host}`
  }
  return environment['NODE_ENV'] === 'production' ? 'NODE_ENV is production' : undefined
}

function hostsOf(target: ConnectionTarget): string[] {
  return readHosts(target).addresses.map(({ host }) => host)
}
