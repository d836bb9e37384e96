/** Messages of the frontend/backend protocol 3.0 (PostgreSQL manual, "Message Formats"), as far as the stand-in makes them. */
function message(type: string, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts)
  const head = Buffer.alloc(5)
  head.write(type, 'latin1')
  head.writeInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}

const zeroTerminated = (text: string): Buffer => Buffer.from(`${text}\0`)

export const sync = message('S')
export const query = (text: string): Buffer => message('Q', zeroTerminated(text))
/** @param types - what stood behind the text: the number of parameter types and these */
export const parse = (name: string, text: string, types: Buffer = Buffer.alloc(2)): Buffer =>
  message('P', zeroTerminated(name), zeroTerminated(text), types)
/** Binds no value. */
export const bind = (portal: string, name: string): Buffer =>
  message('B', zeroTerminated(portal), zeroTerminated(name), Buffer.alloc(6))
export const execute = (portal: string): Buffer => message('E', zeroTerminated(portal), Buffer.alloc(4))
export const closePortal = (portal: string): Buffer => message('C', Buffer.from('P'), zeroTerminated(portal))
export const commandComplete = (tag: string): Buffer => message('C', zeroTerminated(tag))
export const readyForQuery = (status: string): Buffer => message('Z', Buffer.from(status))
export const parameterStatus = (name: string, value: string): Buffer =>
  message('S', zeroTerminated(name), zeroTerminated(value))

/** ErrorResponse: fields by their letter. */
export function errorResponse(fields: ReadonlyMap<string, string>): Buffer {
  const parts = [...fields].map(([letter, text]) => zeroTerminated(`${letter}${text}`))
  return message('E', ...parts, Buffer.alloc(1))
}

/** The zero-terminated texts that a message begins with, and where the rest does. */
export function readTexts(bytes: Buffer, count: number, from = 5): { texts: string[]; end: number } {
  const texts: string[] = []
  let at = from
  for (let index = 0; index < count; index++) {
    const end = bytes.indexOf(0, at)
    texts.push(bytes.toString('utf8', at, end))
    at = end + 1
  }
  return { texts, end: at }
}

/** Fields of an ErrorResponse or NoticeResponse. */
export function readFields(bytes: Buffer): Map<string, string> {
  const fields = new Map<string, string>()
  for (let at = 5; at < bytes.length && bytes[at] !== 0; ) {
    const end = bytes.indexOf(0, at)
    fields.set(String.fromCharCode(bytes[at] ?? 0), bytes.toString('utf8', at + 1, end))
    at = end + 1
  }
  return fields
}
