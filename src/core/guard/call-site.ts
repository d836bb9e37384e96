import { relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ScopeRefusal } from '../scope/refusals.ts'

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

/** Writes into a refusal where its statement was sent from, unless it says so already. */
export function locate(error: unknown, at: string | undefined): void {
  if (!(error instanceof ScopeRefusal) || error.at !== undefined || at === undefined) return
  error.at = at
  error.message += ` (${at})`
}

function pathOf(frame: string): string {
  const [, url = '', place = ''] = /^(.*?)(:\d+:\d+)$/.exec(frame) ?? []
  try {
    return fileURLToPath(url) + place
  } catch {
    return ''
  }
}
