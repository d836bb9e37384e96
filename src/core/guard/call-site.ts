import { relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { excerpt, placeOf } from '../scope/excerpt.ts'
import { refusalCodes, ScopeRefusal } from '../scope/refusals.ts'

/** The library itself, and what it plugs into query builders: whoever called it is outside. */
const LIBRARY = ['../', '../../kysely.', '../../drizzle.'].map((part) => fileURLToPath(new URL(part, import.meta.url)))

/** Frames looked at: handlers are near, frameworks between a route and its plugin have some ten. */
const MAX_FRAMES = 30

/** `file:line:column` of a line of a stack, whether or not it names a function. */
const FRAME = /\(?((?:file:\/\/)?[^()\s][^()]*:\d+:\d+)\)?$/

/**
 * Where the code stands that called the library, such as `routes/invoices.ts:42:20`; nothing in production, where paths
 * are nobody's business (CWE-209) and stacks cost time.
 */
export function callSite(): string | undefined {
  if (process.env['NODE_ENV'] === 'production') return undefined
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = MAX_FRAMES
  const { stack = '' } = new Error('call site')
  Error.stackTraceLimit = stackTraceLimit
  for (const line of stack.split('\n').slice(1)) {
    const [, frame = ''] = FRAME.exec(line.replace(/^\s*at (?:async )?/, '').replace(/^[^(]*\(/, '(')) ?? []
    const path = frame.startsWith('file:') ? pathOf(frame) : frame
    if (!path.includes(sep) || path.startsWith('node:') || LIBRARY.some((part) => path.startsWith(part))) continue
    if (path.includes(`${sep}node_modules${sep}`)) continue
    const near = relative(process.cwd(), path)
    return near.startsWith('..') ? path : near.split(sep).join('/')
  }
  return undefined
}

/**
 * In development a refusal tells where its statement was sent from, shows the place in it, and how to write it instead;
 * in production nothing of a statement goes into an error, for a literal may be a secret (CWE-532).
 * @param text of the statement; nothing where only the place of the call is known
 */
export function locate(error: unknown, at: string | undefined, text?: string): void {
  if (error instanceof ScopeRefusal && process.env['NODE_ENV'] !== 'production') show(error, at, text)
}

/**
 * Writes into a refusal what is known of its place. Its message stays as it is, for a framework may send that to a client
 * (CWE-209); the stack, which goes to logs alone, shows all.
 * @returns the whole of it
 */
export function show(error: ScopeRefusal, at: string | undefined, text: string | undefined): string {
  error.at ??= at
  if (text !== undefined && error.position !== undefined && error.position <= text.length) {
    const { line } = placeOf(text, error.position)
    error.excerpt ??= excerpt(text, error.position, line, false).join('\n')
  }
  const { code, at: from, excerpt: shown, hint } = error
  const whole = [
    `${refusalCodes[code]}${from === undefined ? '' : ` (${from})`}`,
    ...(shown === undefined ? [] : [shown]),
    ...(hint === undefined ? [] : [`Instead: ${hint}`]),
  ].join('\n')
  const frames = (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line))
  error.stack = [`${error.name}: ${whole}`, ...frames].join('\n')
  return whole
}

function pathOf(frame: string): string {
  const [, url = '', place = ''] = /^(.*?)(:\d+:\d+)$/.exec(frame) ?? []
  try {
    return fileURLToPath(url) + place
  } catch {
    return ''
  }
}
