import { Connection, type ConnectionOptions } from './connection.ts'
import { type ConnectionAddress, type ConnectionTarget, readHosts } from './connection-target.ts'
import { DatabaseError, type DatabaseErrorCode } from './errors.ts'

/** One of several hosts may take this long, in milliseconds, before the next is asked: a node that is there answers far sooner. */
const hostTimeoutMs = 2_000
/** A host that took no connection, or no writes, is asked last for so long, in milliseconds. */
const avoidedMs = 10_000
/** Troubles that another host may not have. All else – a wrong password, a wrong setting – is the same everywhere. */
const troublesOfHost: ReadonlySet<DatabaseErrorCode> = new Set(['database_unavailable', 'database_read_only'])
/** SQLSTATE class of a refused sign-in (28), and of a database that is not there. */
const sameEverywhere = /^(?:28...|3D000)$/

/**
 * The hosts of one database. A connection is made to the first that takes it, in the order that was given or a random
 * one; whoever failed lately comes last. Names with several addresses are tried address by address by Node itself.
 */
export class Hosts {
  readonly #addresses: readonly ConnectionAddress[]
  readonly #isRandom: boolean
  readonly #avoidedUntil = new Map<ConnectionAddress, number>()
  readonly #addressOf = new WeakMap<Connection, ConnectionAddress>()

  /** @throws DatabaseError `database_target_invalid` */
  constructor(target: ConnectionTarget) {
    const { addresses, order } = readHosts(target)
    this.#addresses = addresses
    this.#isRandom = order === 'random'
  }

  /**
   * Opens a connection to one of them.
   *
   * @param o - `connectTimeoutMs` is for all of them together
   * @param onEnd - as of `Connection.open`
   * @throws DatabaseError `database_unavailable`, `database_read_only` – naming each host that was tried, and why it was
   * not taken –, `database_unsupported`, `startup_invariant`
   */
  async open(o: Omit<ConnectionOptions, 'address'>, onEnd: (connection: Connection) => void): Promise<Connection> {
    const deadline = performance.now() + o.connectTimeoutMs
    const problems: { host: string; error: DatabaseError }[] = []
    for (const address of this.#inOrder()) {
      const left = Math.ceil(deadline - performance.now())
      if (left <= 0) break
      const connectTimeoutMs = this.#addresses.length === 1 ? left : Math.min(left, hostTimeoutMs)
      try {
        const connection = await Connection.open({ ...o, address, connectTimeoutMs }, onEnd)
        this.#avoidedUntil.delete(address)
        this.#addressOf.set(connection, address)
        return connection
      } catch (error) {
        if (!(error instanceof DatabaseError)) throw error
        problems.push({ host: nameOf(address), error })
        if (!troublesOfHost.has(error.code) || sameEverywhere.test(reasonOf(error))) throw summaryOf(problems)
        this.#avoidedUntil.set(address, performance.now() + avoidedMs)
      }
    }
    throw summaryOf(problems)
  }

  /** The host of this connection takes no writes: others are asked first. */
  avoidHostOf(connection: Connection): void {
    const address = this.#addressOf.get(connection)
    if (address !== undefined) this.#avoidedUntil.set(address, performance.now() + avoidedMs)
  }

  #inOrder(): ConnectionAddress[] {
    const now = performance.now()
    const drawn = this.#addresses.map((address) => ({
      address,
      until: this.#avoidedUntil.get(address) ?? 0,
      chance: this.#isRandom ? Math.random() : 0,
    }))
    // the sort is stable: without chance the order stays as it was given
    drawn.sort((a, b) => Number(a.until > now) - Number(b.until > now) || a.chance - b.chance)
    return drawn.map(({ address }) => address)
  }
}

function nameOf({ host, port }: ConnectionAddress): string {
  if (host.startsWith('/')) return host
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** A code, or where there is none the message, which is Node's or the driver's own: never what a server said (CWE-209). */
function reasonOf(error: DatabaseError): string {
  if (error.code !== 'database_unavailable') return error.message
  const { code, message } = (error.cause ?? {}) as { code?: string; message?: string }
  return code ?? message ?? 'no reason given'
}

/** What the last one failed of; where hosts were left for others, or several failed, named with what each failed of. */
function summaryOf(problems: readonly { host: string; error: DatabaseError }[]): DatabaseError {
  const last = problems.at(-1)?.error ?? new DatabaseError('database_unavailable')
  if (!troublesOfHost.has(last.code)) return last
  const code = problems.some(({ error }) => error.code === 'database_unavailable') ? 'database_unavailable' : last.code
  const each = problems.map(({ host, error }) => `${host} (${reasonOf(error)})`).join(', ')
  const plain = new DatabaseError(code).message
  return new DatabaseError(code, `${plain.replace(/\.$/, '')}: ${each}.`, last.cause)
}
