import { Readable } from 'node:stream'
import type { RowStream } from '../../core/database/stream.ts'

/** Characters that are sent at once. */
const CHUNK_CHARACTERS = 32 * 1024

/** RFC 8259 values, one a line; the convention's own name for it. */
export const NDJSON = 'application/x-ndjson; charset=utf-8'

/**
 * Sends values as lines of JSON: each an object, and behind the last one the line `["end",COUNT]`, which is no object. A
 * stream that fails has no such line and its connection is cut, so that what has come is never taken for the whole.
 *
 * @param rows the stream that the values come from: given up when nobody reads on
 */
export function ndjson(rows: RowStream, values: AsyncIterable<unknown>): Readable {
  const readable = Readable.from(linesOf(rows, values), { objectMode: false, highWaterMark: CHUNK_CHARACTERS })
  // a reader that has stopped would not ask for the next line, and so would not be told
  rows.signal.addEventListener('abort', () => readable.destroy(errorOf(rows.signal.reason)))
  // at once, and not when the fetch under way has come to its end
  readable.once('close', () => void rows.return())
  return readable
}

async function* linesOf(rows: RowStream, values: AsyncIterable<unknown>): AsyncGenerator<string, void> {
  let text = ''
  let count = 0
  for await (const value of values) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new TypeError('a line of a stream must be an object')
    }
    text += `${JSON.stringify(value)}\n`
    count++
    if (text.length < CHUNK_CHARACTERS) continue
    yield text
    text = ''
  }
  // a handler may have caught it
  rows.signal.throwIfAborted()
  yield `${text}["end",${count}]\n`
}

function errorOf(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error('the stream has failed', { cause: reason })
}
