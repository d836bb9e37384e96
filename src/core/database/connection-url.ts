import { isIPv6 } from 'node:net'
import { DatabaseError } from './errors.ts'

/** A database's URL taken apart: nothing is decided about it yet. */
export type ConnectionUrl = {
  readonly user: string
  readonly password: string
  /** At least one. `name` is a host's name or address, or the directory of a Unix socket. */
  readonly hosts: readonly { readonly name: string; readonly port: number }[]
  readonly database: string
  readonly parameters: ReadonlyMap<string, string>
}

const defaultPort = 5432
/** A cluster has some nodes to connect to; a list of more is a mistake. */
const mostHosts = 32
/** Longest host name in characters (RFC 1035 section 2.3.4). */
const hostNameCharacters = 253

/**
 * Takes `postgresql://user:password@host1:26257,host2,[::1]:5432/database?name=value` apart: libpq's form, which no URL
 * parser of the web reads. It is read strictly – what could be taken in two ways is refused (CWE-20) –, and no message
 * repeats any of it but names of parameters: a password that was not escaped may stand anywhere (CWE-532).
 *
 * @throws DatabaseError `database_target_invalid`
 */
export function parseConnectionUrl(text: string): ConnectionUrl {
  // control characters, spaces and what is not ASCII must be escaped
  if (!/^[!-~]*$/.test(text)) return refuse('it has a character that must be written as a percent escape')
  const match = /^postgres(?:ql)?:\/\/([^/?#]*)\/([^/?#]*)(?:\?([^#]*))?$/.exec(text)
  if (match === null) {
    return refuse(
      /^[a-z]+:\/\//.test(text) && !/^postgres(?:ql)?:/.test(text)
        ? 'its scheme must be postgresql:'
        : 'it is not of the form postgresql://user:password@host:port/database; a "/", "?", "#" or "@" inside a part is written %2F, %3F, %23, %40',
    )
  }
  const [, authority = '', database = '', search = ''] = match
  const at = authority.lastIndexOf('@')
  if (at !== authority.indexOf('@')) refuse('it has an "@" too many: one inside a part is written %40')
  const [user = '', ...rest] = authority.slice(0, Math.max(at, 0)).split(':')
  if (user === '') refuse('it names no user')
  if (rest.length > 1) refuse('it has a ":" too many before its "@": one inside a part is written %3A')
  const parameters = readParameters(search)
  const hosts = readHosts(authority.slice(at + 1), parameters.get('host'))
  if (database === '') refuse('it names no database')
  return { user: decode(user), password: decode(rest[0] ?? ''), hosts, database: decode(database), parameters }
}

function readParameters(search: string): Map<string, string> {
  const parameters = new Map<string, string>()
  if (search === '') return parameters
  for (const part of search.split('&')) {
    const [name = '', value, ...rest] = part.split('=')
    if (name === '' || value === undefined || rest.length > 0) refuse('a parameter is not of the form name=value')
    if (parameters.has(decode(name))) refuse('a parameter is given twice')
    parameters.set(decode(name), decode(value ?? ''))
  }
  return parameters
}

/** @param instead the parameter `host`, which stands for the one host before the path */
function readHosts(list: string, instead: string | undefined): ConnectionUrl['hosts'] {
  const parts = list.split(',')
  if (parts.length > mostHosts) refuse(`it names more than ${mostHosts} hosts`)
  const hosts = parts.map((part, index) => readHost(part, index + 1, instead !== undefined))
  if (instead === undefined) return hosts
  if (hosts.length > 1) refuse('several hosts are written before the path, and no host= beside them')
  return hosts.map(({ port }) => ({ name: readName(instead, 1), port }))
}

function readHost(part: string, place: number, mayBeEmpty: boolean): { name: string; port: number } {
  const match = /^(\[[^[\]]*\]|[^:[\]]*)(?::([^:]*))?$/.exec(part)
  if (match === null) return refuse(`host ${place} is not of the form name:port; an IPv6 address stands in brackets`)
  const [, name = '', port] = match
  if (name === '' && !mayBeEmpty) refuse(place === 1 ? 'it has no host' : `host ${place} is empty`)
  if (port !== undefined && !(/^\d{1,5}$/.test(port) && Number(port) >= 1 && Number(port) <= 65_535)) {
    refuse(`the port of host ${place} is not a whole number from 1 to 65535`)
  }
  return { name: name === '' ? '' : readName(name, place), port: port === undefined ? defaultPort : Number(port) }
}

function readName(written: string, place: number): string {
  if (written.startsWith('[')) {
    const address = written.slice(1, -1)
    return isIPv6(address) && !address.includes('%') ? address : refuse(`host ${place} is not an IPv6 address`)
  }
  const name = decode(written)
  // a directory, or a name as DNS and container networks have them
  if (/^\/[ -~]*$/.test(name)) return name
  if (/^[A-Za-z0-9_][A-Za-z0-9._-]*$/.test(name) && name.length <= hostNameCharacters) return name
  return isIPv6(name) && !name.includes('%') ? name : refuse(`host ${place} is not a host name, an address or a path`)
}

function decode(text: string): string {
  let decoded: string
  try {
    decoded = decodeURIComponent(text)
  } catch {
    return refuse('it has a malformed percent escape')
  }
  return decoded.includes('\0') ? refuse('it has a NUL') : decoded
}

/** @throws DatabaseError `database_target_invalid` */
export function refuse(why: string): never {
  throw new DatabaseError('database_target_invalid', `The database address cannot be used: ${why}.`)
}
