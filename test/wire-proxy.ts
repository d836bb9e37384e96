import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ConnectionAddress } from '../src/core/database/connection-target.ts'

/**
 * Where to cut the next commit: `before` – the server gets everything but what commits; `after` – it has committed, and
 * the client never hears of it.
 */
export type Cut = 'before commit' | 'after commit'

/** What went over the wire since the last reset, start-up and authentication left out. */
type WireCounts = {
  /** How often the direction turned to the server: what each costs is one network latency. */
  roundTrips: number
  /** Sync messages and simple queries: what the server answers with ReadyForQuery. */
  syncs: number
  /** How many messages committed something: COMMIT, a Sync or a simple query outside BEGIN … COMMIT. */
  commits: number
  /** Message types from the client, in order, such as `PBDES`. */
  messages: string
}

/** A proxy on a Unix socket in front of a PostgreSQL on a Unix socket. It counts, and cuts connections where it hurts. */
export type WireProxy = {
  /** The same address, through the proxy. */
  readonly address: ConnectionAddress
  readonly counts: WireCounts
  reset(): void
  /** Arms a cut for the next commit on any connection, or for one later, after `skip` more. */
  cutNext(cut: Cut, skip?: number): void
  /** Is a cut still armed? */
  readonly isArmed: boolean
  /** Cuts all connections now. */
  cutAll(): void
  /** Milliseconds that bytes wait on their way to the server. */
  delayMs: number
  close(): Promise<void>
}

const port = 5432

export async function startWireProxy(to: ConnectionAddress): Promise<WireProxy> {
  const directory = mkdtempSync(join(tmpdir(), 'wire-'))
  const lines = new Set<Line>()
  const state: ProxyState = { counts: zero(), cut: undefined, skip: 0, delayMs: 0 }
  const server = createServer((client) => {
    const upstream = connect(join(to.host, `.s.PGSQL.${to.port}`))
    const line = new Line(client, upstream, state)
    lines.add(line)
    client.once('close', () => lines.delete(line))
  })
  await new Promise<void>((resolve) => server.listen(join(directory, `.s.PGSQL.${port}`), resolve))
  return {
    address: { ...to, host: directory, port },
    get counts() {
      return state.counts
    },
    reset() {
      state.counts = zero()
    },
    cutNext(cut, skip = 0) {
      state.cut = cut
      state.skip = skip
    },
    get isArmed() {
      return state.cut !== undefined
    },
    cutAll() {
      for (const line of lines) line.cut()
    },
    get delayMs() {
      return state.delayMs
    },
    set delayMs(value) {
      state.delayMs = value
    },
    async close() {
      for (const line of lines) line.cut()
      await new Promise<void>((resolve) => server.close(() => resolve()))
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

function zero(): WireCounts {
  return { roundTrips: 0, syncs: 0, commits: 0, messages: '' }
}

type ProxyState = { counts: WireCounts; cut: Cut | undefined; skip: number; delayMs: number }

/** One connection through the proxy. */
class Line {
  readonly #client: Socket
  readonly #upstream: Socket
  readonly #state: ProxyState
  readonly #fromClient = new MessageReader(true)
  readonly #fromServer = new MessageReader(false)
  #isReady = false
  #towardsServer = false
  #isCommitting = false
  #isExplicit = false
  #hasCommitted = false
  #isMuted = false

  constructor(client: Socket, upstream: Socket, state: ProxyState) {
    this.#client = client
    this.#upstream = upstream
    this.#state = state
    client.on('data', (chunk) => this.#take(chunk))
    upstream.on('data', (chunk) => this.#give(chunk))
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      one.on('error', () => other.destroy())
      one.on('close', () => other.destroy())
    }
  }

  cut(): void {
    this.#client.destroy()
    this.#upstream.destroy()
  }

  #take(chunk: Buffer): void {
    const { counts } = this.#state
    const forward: Buffer[] = []
    for (const { type, bytes } of this.#fromClient.read(chunk)) {
      if (this.#isReady && type !== 'X') {
        counts.messages += type
        if (!this.#towardsServer) counts.roundTrips++
        this.#towardsServer = true
        if (type === 'S' || type === 'Q') counts.syncs++
      }
      if (
        this.#commits(type, bytes) &&
        ++counts.commits > 0 &&
        this.#state.cut !== undefined &&
        this.#state.skip-- <= 0
      ) {
        this.#isCommitting = true
        if (this.#state.cut === 'before commit') {
          this.#state.cut = undefined
          this.#isMuted = true
          this.#upstream.write(Buffer.concat(forward), () => setTimeout(() => this.cut(), 20))
          return
        }
      }
      forward.push(bytes)
    }
    const bytes = Buffer.concat(forward)
    if (this.#state.delayMs === 0) this.#upstream.write(bytes)
    else setTimeout(() => this.#upstream.write(bytes), this.#state.delayMs)
  }

  /** Follows what BEGIN and COMMIT say, by name or text. */
  #commits(type: string, bytes: Buffer): boolean {
    if (!this.#isReady) return false
    const text = type === 'B' || type === 'P' || type === 'Q' ? bytes.toString('latin1') : ''
    if (/hf_begin|\bBEGIN\b(?! *;)/.test(text)) {
      this.#isExplicit = true
      return false
    }
    if (/hf_rollback|\bROLLBACK\b/.test(text)) this.#isExplicit = false
    // Bind and simple query execute; a Parse alone does not.
    if (/hf_commit|\bCOMMIT\b/.test(text)) {
      this.#isExplicit = false
      this.#hasCommitted = true
      return type !== 'P' || this.#isUnnamed(bytes)
    }
    if (type !== 'S' && type !== 'Q') return false
    const commits = !this.#isExplicit && !this.#hasCommitted
    if (!this.#isExplicit) this.#hasCommitted = false
    return commits
  }

  #isUnnamed(parse: Buffer): boolean {
    return parse[5] === 0
  }

  #give(chunk: Buffer): void {
    for (const { type } of this.#fromServer.read(chunk)) {
      if (type !== 'Z') continue
      this.#isReady = true
      if (this.#isCommitting && this.#state.cut === 'after commit') {
        this.#state.cut = undefined
        this.cut()
        return
      }
    }
    this.#towardsServer = false
    if (!this.#isMuted && !(this.#isCommitting && this.#state.cut === 'after commit')) this.#client.write(chunk)
  }
}

/** Cuts a byte stream into protocol messages. The client's first has no type; it comes out as `startup`. */
export class MessageReader {
  #rest = Buffer.alloc(0)
  #isUntyped: boolean

  constructor(isClient: boolean) {
    this.#isUntyped = isClient
  }

  *read(chunk: Buffer): Generator<{ type: string; bytes: Buffer }> {
    this.#rest = Buffer.concat([this.#rest, chunk])
    for (;;) {
      const head = this.#isUntyped ? 0 : 1
      if (this.#rest.length < head + 4) return
      const length = head + this.#rest.readInt32BE(head)
      if (this.#rest.length < length) return
      const bytes = this.#rest.subarray(0, length)
      this.#rest = this.#rest.subarray(length)
      yield { type: this.#isUntyped ? 'startup' : String.fromCharCode(bytes[0] ?? 0), bytes }
      this.#isUntyped = false
    }
  }
}
