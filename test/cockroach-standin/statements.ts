/** What the stand-in makes of a statement's text. */
export type Judged = {
  readonly kind: 'begin' | 'commit' | 'rollback' | 'ddl' | 'other'
  /** What the caller wrote. */
  readonly original: string
  /** What PostgreSQL gets. */
  readonly text: string
  /** The command tag that the caller sees, where PostgreSQL's is another. */
  readonly tag?: string
  readonly refusal?: Refusal
}

/** An error that CockroachDB documents. */
export type Refusal = { readonly sqlstate: string; readonly message: string }

const kinds: readonly [Judged['kind'], RegExp][] = [
  ['begin', /^\s*(?:BEGIN|START\s+TRANSACTION)\b/i],
  ['commit', /^\s*(?:COMMIT|END)\b/i],
  ['rollback', /^\s*(?:ROLLBACK|ABORT)\b(?!\s+TO\b)/i],
  ['ddl', /^\s*(?:CREATE|ALTER|DROP|TRUNCATE|GRANT|REVOKE|COMMENT)\b/i],
]

const refusals: readonly [RegExp, Refusal][] = [
  [/\bpg_(?:try_)?advisory_\w+\s*\(/i, { sqlstate: '42883', message: 'unknown function: pg_advisory…()' }],
  [/^\s*(?:LISTEN|UNLISTEN|NOTIFY)\b/i, { sqlstate: '0A000', message: 'unimplemented: this syntax' }],
]

/** Literals and comments, which no rule looks into. */
const opaque = /'(?:[^']|'')*'|--[^\n]*|\/\*[\s\S]*?\*\/|\$([A-Za-z_]\w*)?\$[\s\S]*?\$\1\$/g
const setting = /^\s*SET\s+(?:(LOCAL|SESSION)\s+)?([a-z_][\w.]*)\s*(?:=|\bTO\b)\s*('(?:[^']|'')*'|[\w.+-]+)\s*;?\s*$/i
const shown = /^\s*SHOW\s+(server_version|crdb_version)\s*;?\s*$/i
/** A placeholder counts as cast where its type stands behind it or in a CAST. */
const uncast = /(?<!\bCAST\s*\(\s*)\$(\d+)(?![\d]|\s*::)/gi
/** What stands before one whose type follows from what it is compared with or assigned to. */
const inferable = /(?:[=<>+*/-]|\bOPERATOR\s*\([^()]*\)|\b(?:LIKE|LIMIT|OFFSET))\s*$/i
/** One in the rows of an INSERT is of its column's type. */
const inRow = /^\s*INSERT\b[\s\S]*\bVALUES\b[\s\S]*[(,]\s*$/i

/** Settings that PostgreSQL does not have, as a new session has them where its role says nothing. */
export const ownSettings: Readonly<Record<string, string>> = {
  autocommit_before_ddl: 'on',
  default_transaction_use_follower_reads: 'off',
  enable_durable_locking_for_serializable: 'off',
  ssl: 'off',
}
/** The name that PostgreSQL takes for one of them. */
export const ownName = (name: string): string => `standin.${name}`
const ownNames = Object.keys(ownSettings).join('|')

/** Calls that are answered by a function of the stand-in's own. */
const replaced: readonly [RegExp, string][] = [
  [/(?:\bpg_catalog\.)?\bset_config\s*\(/gi, 'standin.set_config('],
  [/(?:\bpg_catalog\.)?\bversion\s*\(\s*\)/gi, 'standin.version()'],
]
/** Calls with a literal in them. */
const replacedWhole: readonly [RegExp, string][] = [
  [new RegExp(`\\bcurrent_setting\\s*\\(\\s*'(${ownNames})'`, 'gi'), "current_setting('standin.$1'"],
  [/(?:\bpg_catalog\.)?\bcurrent_setting\s*\(\s*'server_version'[^)]*\)/gi, "'13.0.0'::TEXT"],
  [/(?:\bpg_catalog\.)?\bcurrent_setting\s*\(\s*'server_version_num'[^)]*\)/gi, "'130000'::TEXT"],
]

/**
 * @param o.cast - refuse placeholders without a cast whose type does not follow from their place
 */
export function judge(original: string, o: { readonly cast: boolean }): Judged {
  const code = original.replace(opaque, (match) => ' '.repeat(match.length))
  const kind = kinds.find(([, pattern]) => pattern.test(code))?.[0] ?? 'other'
  const refusal = refusals.find(([pattern]) => pattern.test(code))?.[1] ?? (o.cast ? refuseUncast(code) : undefined)
  if (refusal !== undefined) return { kind, original, text: original, refusal }
  if (kind === 'ddl')
    return { kind, original, text: original.replace(new RegExp(`\\bSET (${ownNames})\\b`, 'i'), 'SET standin.$1') }
  const said = shown.exec(original)?.[1]?.toLowerCase()
  if (said !== undefined) {
    const value = said === 'server_version' ? "'13.0.0'" : 'standin.version()'
    return { kind, original, text: `SELECT ${value} AS ${said}`, tag: 'SHOW' }
  }
  const [, scope = '', name = '', value = ''] = setting.exec(original) ?? []
  if (name !== '' && !/^default$/i.test(value)) {
    return { kind, original, text: setText(name, value, /^local$/i.test(scope)), tag: 'SET' }
  }
  return { kind, original, text: replaceCalls(original, code) }
}

function refuseUncast(code: string): Refusal | undefined {
  for (const { index, 1: number } of code.matchAll(uncast)) {
    const before = code.slice(0, index)
    if (inferable.test(before) || inRow.test(before)) continue
    return { sqlstate: '42P18', message: `could not determine data type of placeholder $${number}` }
  }
  return undefined
}

function setText(name: string, value: string, isLocal: boolean): string {
  const known = Object.hasOwn(ownSettings, name.toLowerCase()) ? ownName(name.toLowerCase()) : name
  const literal = value.startsWith("'") ? value : `'${value}'`
  return `DO $standin$ BEGIN PERFORM standin.set_config('${known}', ${literal}, ${isLocal}); END $standin$`
}

function replaceCalls(original: string, code: string): string {
  const places: { start: number; end: number; by: string }[] = []
  for (const [pattern, by] of replaced) {
    for (const match of code.matchAll(pattern))
      places.push({ start: match.index, end: match.index + match[0].length, by })
  }
  let text = original
  for (const { start, end, by } of places.sort((a, b) => b.start - a.start)) {
    text = text.slice(0, start) + by + text.slice(end)
  }
  return replacedWhole.reduce((so, [pattern, by]) => so.replace(pattern, by), text)
}

/** A statement that fails so, with everything that a failure has in PostgreSQL. */
export function raiseText({ sqlstate, message }: Refusal): string {
  return `DO $standin$ BEGIN RAISE EXCEPTION USING ERRCODE = '${sqlstate}', MESSAGE = '${message}'; END $standin$`
}
