import pg from 'pg'
import { DatabaseError } from './errors.ts'
import type { Statement } from './statement.ts'

/** A parameter as it goes on the wire: text, binary, or NULL. */
export type WireValue = string | Buffer | null

/** One statement of a flight, ready to be encoded. */
export type WireStep = {
  readonly statement: Statement
  /** Send Parse? Only at the first use of a name on a connection, and always for unnamed ones. */
  readonly parse: boolean
  /** Ask for the row description? */
  readonly describe: boolean
  readonly values: readonly WireValue[]
  /** Most rows that Execute may give, and whether it goes on with the portal that the step before has bound; all if left out. */
  readonly fetch?: { readonly rows: number; readonly again: boolean } | undefined
}

// Message types of the frontend/backend protocol 3.0 (PostgreSQL manual, "Message Formats").
const code = { parse: 0x50, bind: 0x42, describe: 0x44, execute: 0x45, close: 0x43, sync: 0x53 } as const
const emptyPortalExecute = Buffer.from([code.execute, 0, 0, 0, 9, 0, 0, 0, 0, 0])
const emptyPortalDescribe = Buffer.from([code.describe, 0, 0, 0, 6, 0x50, 0])
const sync = Buffer.from([code.sync, 0, 0, 0, 4])
/** The protocol counts parameters in 16 bits. */
const mostValues = 65_535

const { prepareValue } = (pg as unknown as { utils: { prepareValue: (value: unknown) => unknown } }).utils

/**
 * Turns values into what goes on the wire, by the same rules as `pg`: strings as text, `Uint8Array` as binary, dates,
 * arrays and objects as their PostgreSQL text.
 *
 * @throws DatabaseError `value_invalid`; nothing has been sent then
 */
export function encodeValues(values: readonly unknown[]): WireValue[] {
  if (values.length > mostValues) throw new DatabaseError('value_invalid', `${values.length} values are too many.`)
  return values.map((value, index) => {
    if (typeof value === 'string') return value
    try {
      const prepared = prepareValue(value)
      if (prepared === null || typeof prepared === 'string' || Buffer.isBuffer(prepared)) return prepared
      if (prepared === undefined) return null
    } catch (error) {
      throw new DatabaseError('value_invalid', `Value ${index + 1} cannot be sent to the database.`, error)
    }
    throw new DatabaseError('value_invalid', `Value ${index + 1} cannot be sent to the database.`)
  })
}

/**
 * Encodes a whole flight – Close of names no longer wanted, then Parse, Bind, Describe, Execute of each step, then one
 * Sync – into one Buffer, so that it leaves in one write.
 */
export function encodeFlight(closes: readonly string[], steps: readonly WireStep[]): Buffer {
  let size = sync.length
  for (const name of closes) size += 7 + Buffer.byteLength(name)
  for (const step of steps) size += stepSize(step)
  const buffer = Buffer.allocUnsafe(size)
  let at = 0
  for (const name of closes) at = writeClose(buffer, at, name)
  for (const step of steps) at = writeStep(buffer, at, step)
  buffer.set(sync, at)
  return buffer
}

function stepSize({ statement, parse, describe, values, fetch }: WireStep): number {
  if (fetch?.again === true) return emptyPortalExecute.length
  const name = Buffer.byteLength(statement.name)
  let size = emptyPortalExecute.length
  if (parse) size += 1 + 4 + name + 1 + Buffer.byteLength(statement.text) + 1 + 2
  if (describe) size += emptyPortalDescribe.length
  size += 1 + 4 + 1 + name + 1 + 2 + 2 * values.length + 2 + 4
  for (const value of values) size += 4 + valueLength(value)
  return size
}

function valueLength(value: WireValue): number {
  if (value === null) return 0
  return typeof value === 'string' ? Buffer.byteLength(value) : value.length
}

function writeStep(buffer: Buffer, start: number, { statement, parse, describe, values, fetch }: WireStep): number {
  if (fetch?.again === true) return writeExecute(buffer, start, fetch.rows)
  let at = start
  if (parse) at = writeParse(buffer, at, statement)
  at = writeBind(buffer, at, statement.name, values)
  if (describe) {
    buffer.set(emptyPortalDescribe, at)
    at += emptyPortalDescribe.length
  }
  return writeExecute(buffer, at, fetch?.rows ?? 0)
}

/** @param rows - most rows; 0: all */
function writeExecute(buffer: Buffer, start: number, rows: number): number {
  buffer.set(emptyPortalExecute, start)
  return buffer.writeInt32BE(rows, start + 6)
}

function writeParse(buffer: Buffer, start: number, { name, text }: Statement): number {
  let at = writeString(buffer, start + 5, name)
  at = writeString(buffer, at, text)
  // No parameter types: the server infers them.
  at = buffer.writeInt16BE(0, at)
  return finish(buffer, start, code.parse, at)
}

function writeBind(buffer: Buffer, start: number, name: string, values: readonly WireValue[]): number {
  buffer[start + 5] = 0
  let at = writeString(buffer, start + 6, name)
  at = buffer.writeUInt16BE(values.length, at)
  for (const value of values) at = buffer.writeInt16BE(value !== null && typeof value !== 'string' ? 1 : 0, at)
  at = buffer.writeUInt16BE(values.length, at)
  for (const value of values) at = writeValue(buffer, at, value)
  // One format for all columns of the result: text.
  at = buffer.writeInt16BE(1, at)
  at = buffer.writeInt16BE(0, at)
  return finish(buffer, start, code.bind, at)
}

function writeValue(buffer: Buffer, start: number, value: WireValue): number {
  if (value === null) return buffer.writeInt32BE(-1, start)
  if (typeof value === 'string') {
    const written = buffer.write(value, start + 4, 'utf8')
    buffer.writeInt32BE(written, start)
    return start + 4 + written
  }
  const at = buffer.writeInt32BE(value.length, start)
  buffer.set(value, at)
  return at + value.length
}

function writeClose(buffer: Buffer, start: number, name: string): number {
  buffer[start + 5] = 0x53
  return finish(buffer, start, code.close, writeString(buffer, start + 6, name))
}

function writeString(buffer: Buffer, start: number, text: string): number {
  const at = start + buffer.write(text, start, 'utf8')
  buffer[at] = 0
  return at + 1
}

function finish(buffer: Buffer, start: number, type: number, end: number): number {
  buffer[start] = type
  buffer.writeInt32BE(end - start - 1, start + 1)
  return end
}

/**
 * Checks what the protocol's zero-terminated strings cannot carry: a NUL would end the text early, and what was checked
 * would not be what is executed (CWE-158).
 *
 * @throws DatabaseError `value_invalid`
 */
export function assertSendable({ name, text }: Statement): void {
  if (text.includes('\0') || name.includes('\0'))
    throw new DatabaseError('value_invalid', 'A statement has a NUL character.')
  if (Buffer.byteLength(name) > 63) throw new DatabaseError('value_invalid', 'A statement name has more than 63 bytes.')
}
