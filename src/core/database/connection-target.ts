import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { parseConnectionUrl, refuse } from './connection-url.ts'

/** Certificates for TLS, each a PEM text. Verification itself cannot be switched off. */
type TlsMaterial = {
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
  /** Name the certificate must bear, if it is not the host's. */
  readonly servername?: string
}

/** Where a database is, and as whom: one host of it. `host` is a host name or address, or the directory of a Unix socket. */
export type ConnectionAddress = {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
  readonly database: string
  readonly ssl?: TlsMaterial
}

/**
 * A database address, as a URL (`postgresql://user:password@host1:26257,host2:26257/database?sslmode=verify-full`) or one
 * host's taken apart.
 */
export type ConnectionTarget = { readonly url: string } | ConnectionAddress

/** The hosts that lead to one database, each with its address. */
export type TargetHosts = {
  /** At least one. */
  readonly addresses: readonly ConnectionAddress[]
  /** `given`: the first that takes a connection gets them all; `random`: any, so that load spreads. */
  readonly order: 'given' | 'random'
}

/** `channel_binding` asks for what is done anyway where the server offers it; our own application name is used. */
const knownParameters = new Set([
  'host',
  'load_balance_hosts',
  'target_session_attrs',
  'sslmode',
  'sslrootcert',
  'sslcert',
  'sslkey',
  'channel_binding',
  'application_name',
])
const verifyingModes = new Set(['require', 'verify-ca', 'verify-full'])
/** Values of `target_session_attrs`: a connection that cannot write is never taken, asked for or not. */
const writingAttributes = new Set(['read-write', 'primary'])

/**
 * Takes a target apart that has one host, for whoever needs that very one. As `readHosts`.
 *
 * @throws DatabaseError `database_target_invalid`
 */
export function readTarget(target: ConnectionTarget): ConnectionAddress {
  const { addresses } = readHosts(target)
  const [address] = addresses
  if (address === undefined || addresses.length > 1) return refuse('only one host can be used here')
  return address
}

/**
 * Takes a target apart. For each host that is neither a Unix socket nor loopback, TLS with a certificate verified for
 * that host's name is always on (CWE-319, CWE-295); an address that asks for less is refused.
 *
 * @throws DatabaseError `database_target_invalid`; the message never holds the URL (it has the password)
 */
export function readHosts(target: ConnectionTarget): TargetHosts {
  if ('url' in target) return readUrl(target.url)
  const address = isLocal(target.host) || target.ssl !== undefined ? target : { ...target, ssl: {} }
  return { addresses: [address], order: 'given' }
}

/** Is the host a Unix socket's directory, or the machine itself? */
export function isLocal(host: string): boolean {
  if (host.startsWith('/') || host === 'localhost' || host === '::1') return true
  return isIP(host) === 4 && host.startsWith('127.')
}

function readUrl(text: string): TargetHosts {
  const { user, password, hosts, database, parameters } = parseConnectionUrl(text)
  for (const name of parameters.keys()) {
    if (!knownParameters.has(name)) refuse(`it has a parameter other than ${[...knownParameters].join(', ')}`)
  }
  const attributes = parameters.get('target_session_attrs')
  if (attributes !== undefined && !writingAttributes.has(attributes)) {
    refuse('target_session_attrs must be read-write or primary: every connection writes')
  }
  const balance = parameters.get('load_balance_hosts') ?? 'disable'
  if (balance !== 'disable' && balance !== 'random') refuse('load_balance_hosts must be disable or random')
  const addresses = hosts.map(({ name, port }): ConnectionAddress => {
    const ssl = readTls(parameters, name)
    return { host: name, port, user, password, database, ...(ssl === undefined ? {} : { ssl }) }
  })
  return { addresses, order: balance === 'random' ? 'random' : 'given' }
}

function readTls(parameters: ReadonlyMap<string, string>, host: string): TlsMaterial | undefined {
  const mode = parameters.get('sslmode')
  if (mode === undefined ? isLocal(host) : !verifyingModes.has(mode)) {
    if (!isLocal(host)) refuse('TLS can be left out or weakened on this machine only; use sslmode=verify-full')
    return undefined
  }
  const read = (name: string): string | undefined => {
    const path = parameters.get(name)
    if (path === undefined || path === 'system') return undefined
    try {
      return readFileSync(path, 'utf8')
    } catch (error) {
      return refuse(`the file of ${name} cannot be read (${(error as NodeJS.ErrnoException).code})`)
    }
  }
  const ca = read('sslrootcert')
  const cert = read('sslcert')
  const key = read('sslkey')
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  }
}
