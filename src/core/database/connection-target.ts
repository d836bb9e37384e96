import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { DatabaseError } from './errors.ts'

/** Certificates for TLS, each a PEM text. Verification itself cannot be switched off. */
type TlsMaterial = {
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
  /** Name the certificate must bear, if it is not the host's. */
  readonly servername?: string
}

/** Where a database is, and as whom. `host` is a host name or address, or the directory of a Unix socket. */
export type ConnectionAddress = {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
  readonly database: string
  readonly ssl?: TlsMaterial
}

/** A database address, as a URL (`postgresql://user:password@host:port/database?sslmode=verify-full`) or taken apart. */
export type ConnectionTarget = { readonly url: string } | ConnectionAddress

const defaultPort = 5432
/** `channel_binding` asks for what is done anyway where the server offers it; our own application name is used. */
const knownParameters = new Set([
  'host',
  'sslmode',
  'sslrootcert',
  'sslcert',
  'sslkey',
  'channel_binding',
  'application_name',
])
const verifyingModes = new Set(['require', 'verify-ca', 'verify-full'])

/**
 * Takes a target apart. For a host that is neither a Unix socket nor loopback, TLS with a verified certificate is
 * always on (CWE-319, CWE-295); an address that asks for less is refused.
 *
 * @throws DatabaseError `database_target_invalid`; the message never holds the URL (it has the password)
 */
export function readTarget(target: ConnectionTarget): ConnectionAddress {
  const address = 'url' in target ? readUrl(target.url) : target
  if (isLocal(address.host) || address.ssl !== undefined) return address
  return { ...address, ssl: {} }
}

/** Is the host a Unix socket's directory, or the machine itself? */
export function isLocal(host: string): boolean {
  if (host.startsWith('/') || host === 'localhost' || host === '::1') return true
  return isIP(host) === 4 && host.startsWith('127.')
}

function readUrl(text: string): ConnectionAddress {
  let url: URL
  try {
    url = new URL(text)
  } catch {
    return refuse('it is not a URL')
  }
  if (url.protocol !== 'postgresql:' && url.protocol !== 'postgres:') refuse('its scheme must be postgresql:')
  for (const name of url.searchParams.keys()) {
    if (!knownParameters.has(name)) refuse(`the parameter "${name}" is not known`)
  }
  const host = url.searchParams.get('host') ?? decode(url.hostname.replace(/^\[|\]$/g, ''))
  if (host === '') refuse('it has no host')
  const database = decode(url.pathname.slice(1))
  if (database === '') refuse('it names no database')
  const user = decode(url.username)
  if (user === '') refuse('it names no user')
  const ssl = readTls(url.searchParams, host)
  return {
    host,
    port: url.port === '' ? defaultPort : Number(url.port),
    user,
    password: decode(url.password),
    database,
    ...(ssl === undefined ? {} : { ssl }),
  }
}

function readTls(parameters: URLSearchParams, host: string): TlsMaterial | undefined {
  const mode = parameters.get('sslmode')
  if (mode === null ? isLocal(host) : !verifyingModes.has(mode)) {
    if (!isLocal(host)) refuse(`sslmode=${mode} is refused for a host that is not this machine; use verify-full`)
    return undefined
  }
  const read = (name: string): string | undefined => {
    const path = parameters.get(name)
    if (path === null || path === 'system') return undefined
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

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return refuse('it has a malformed percent escape')
  }
}

function refuse(why: string): never {
  throw new DatabaseError('database_target_invalid', `The database address cannot be used: ${why}.`)
}
