import type { Socket } from 'node:net'
import { MessageReader } from '../wire-proxy.ts'
import type { Faults } from './faults.ts'
import { noticeState } from './install.ts'
import { type Judged, judge, ownName, raiseText, type Refusal } from './statements.ts'
import * as wire from './wire.ts'

export type SessionOptions = {
  readonly version: string
  readonly cast: boolean
  /** Settings that PostgreSQL does not have. */
  readonly settings: Readonly<Record<string, string>>
  readonly faults: Faults
}

type Message = { readonly type: string; readonly bytes: Buffer }

/** An answer that is due, in order. `hidden`: the caller never asked for it. */
type Due = {
  readonly of: 'parse' | 'bind' | 'close' | 'describe' | 'execute' | 'query' | 'sync'
  readonly hidden?: boolean
  readonly portal?: string
  /** What the caller sees in place of PostgreSQL's command tag. */
  readonly tag?: string | undefined
  /** The statement is executed, and the caller told this. */
  readonly insteadOfSuccess?: Refusal | undefined
  /** Command tags of a simple query that the caller did not ask for, by their place. */
  readonly hiddenTags?: number
}

const emptyJudged: Judged = { kind: 'other', original: '', text: '' }
const secondBegin: Refusal = { sqlstate: '25001', message: 'there is already a transaction in progress' }
const secondPortal: Refusal = { sqlstate: '0A000', message: 'unimplemented: multiple active portals not supported' }
/** Our own portal and prepared statements on each session. */
const own = { portal: 'standin', explicit: 'standin_explicit', commit: 'standin_commit' }
const markExplicit = 'SET LOCAL standin.explicit = on'
const dueOf = { '1': 'parse', '2': 'bind', '3': 'close' } as const

/** One connection: what goes to PostgreSQL, and what the caller sees of its answers. */
export class Session {
  readonly #client: Socket
  readonly #upstream: Socket
  readonly #o: SessionOptions
  readonly #fromClient = new MessageReader(true)
  readonly #fromServer = new MessageReader(false)
  readonly #queue: Message[] = []
  readonly #due: Due[] = []
  readonly #statements = new Map<string, Judged>()
  readonly #portals = new Map<string, Judged>()
  #isReady = false
  /** A Sync or a simple query is unanswered: what comes next is judged by where that leaves the transaction. */
  #isWaiting = false
  /** After an error that was made here, up to Sync. */
  #isSkipping = false
  /** Messages of our own are under way; nothing of their answers is shown. */
  #isHiding = false
  #tags = 0
  #status = 'I'
  #isOpen = false
  #suspended: string | undefined
  #endsAtFault = false
  #commitsBeforeDdl = true
  /** Settings of the session that were made in the transaction under way. */
  #settings: [name: string, value: string][] = []
  #out: Buffer[] = []
  #isCut = false

  constructor(client: Socket, upstream: Socket, o: SessionOptions) {
    this.#client = client
    this.#upstream = upstream
    this.#o = o
    client.on('data', (chunk) => this.#take(chunk))
    upstream.on('data', (chunk) => this.#give(chunk))
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      one.on('error', () => other.destroy())
      one.on('close', () => other.end())
    }
  }

  #take(chunk: Buffer): void {
    for (const message of this.#fromClient.read(chunk)) this.#queue.push(message)
    this.#pump()
  }

  #pump(): void {
    while (!this.#isWaiting && !this.#isHiding && !this.#isCut) {
      const message = this.#queue.shift()
      if (message === undefined) return
      const cut = this.#isReady && message.type !== 'X' ? this.#o.faults.takeCut('client') : undefined
      if (cut === undefined || cut.arrives) this.#forward(message)
      if (cut !== undefined) return this.cut()
    }
  }

  /** PostgreSQL reads what was sent before, and then the end. */
  cut(): void {
    this.#isCut = true
    this.#client.destroy()
    this.#upstream.end()
  }

  #send(bytes: Buffer, ...due: Due[]): void {
    this.#due.push(...due)
    this.#upstream.write(bytes)
  }

  #forward({ type, bytes }: Message): void {
    if (!this.#isReady) return this.#send(bytes)
    if (type === 'S') return this.#forwardSync(bytes)
    if (this.#isSkipping && type !== 'X') return
    if (type === 'P') return this.#forwardParse(bytes)
    if (type === 'B') return this.#forwardBind(bytes)
    if (type === 'E') return this.#forwardExecute(bytes)
    if (type === 'Q') return this.#forwardQuery(bytes)
    if (type === 'D') return this.#send(bytes, { of: 'describe' })
    if (type === 'C') return this.#forwardClose(bytes)
    this.#send(bytes)
  }

  #forwardSync(bytes: Buffer): void {
    this.#isWaiting = true
    this.#isSkipping = false
    this.#send(bytes, { of: 'sync' })
  }

  #forwardParse(bytes: Buffer): void {
    const { texts, end } = wire.readTexts(bytes, 2)
    const [name = '', text = ''] = texts
    const judged = judge(text, this.#o)
    if (judged.refusal !== undefined) return this.#raise(judged.refusal)
    this.#statements.set(name, judged)
    this.#send(wire.parse(name, judged.text, bytes.subarray(end)), { of: 'parse' })
  }

  #forwardBind(bytes: Buffer): void {
    const [portal = '', name = ''] = wire.readTexts(bytes, 2).texts
    const judged = this.#statements.get(name) ?? emptyJudged
    if (this.#suspended !== undefined && judged.kind !== 'commit') return this.#raise(secondPortal)
    if (judged.kind === 'begin' && this.#isOpen) return this.#raise(secondBegin)
    if (judged.kind === 'ddl' && this.#isOpen && this.#commitsBeforeDdl) this.#commitHidden()
    this.#portals.set(portal, judged)
    this.#send(bytes, { of: 'bind' })
  }

  #forwardExecute(bytes: Buffer): void {
    const [portal = ''] = wire.readTexts(bytes, 1).texts
    const { kind, tag } = this.#portals.get(portal) ?? emptyJudged
    if (this.#suspended !== undefined && this.#suspended !== portal && kind !== 'commit')
      return this.#raise(secondPortal)
    const fault = this.#suspended === portal ? undefined : this.#o.faults.takeFault(kind === 'commit')
    if (fault !== undefined && !fault.isApplied) {
      this.#endsAtFault = kind === 'commit'
      return this.#raise(fault)
    }
    this.#send(bytes, { of: 'execute', portal, tag, insteadOfSuccess: fault })
    if (fault !== undefined) this.#isSkipping = true
    this.#follow(kind)
    if (kind === 'begin') this.#runHidden(own.explicit)
  }

  #follow(kind: Judged['kind']): void {
    if (kind === 'begin') this.#isOpen = true
    else if (kind === 'commit' || kind === 'rollback') this.#isOpen = false
  }

  #forwardClose(bytes: Buffer): void {
    const isPortal = bytes[5] === 0x50
    const [name = ''] = wire.readTexts(bytes, 1, 6).texts
    if (isPortal && name === this.#suspended) this.#suspended = undefined
    if (!isPortal) this.#statements.delete(name)
    this.#send(bytes, { of: 'close' })
  }

  #forwardQuery(bytes: Buffer): void {
    const [text = ''] = wire.readTexts(bytes, 1).texts
    const judged = judge(text, this.#o)
    const fault = this.#o.faults.takeFault(judged.kind === 'commit')
    const refusal = judged.refusal ?? this.#refuseQuery(judged) ?? (fault?.isApplied === false ? fault : undefined)
    this.#isWaiting = true
    if (refusal !== undefined) {
      this.#endsAtFault = fault !== undefined && judged.kind === 'commit'
      return this.#send(wire.query(raiseText(refusal)), { of: 'query' })
    }
    if (judged.kind === 'ddl' && this.#isOpen && this.#commitsBeforeDdl) {
      return this.#send(wire.query(`COMMIT; ${judged.text}`), { of: 'query', hiddenTags: 0 })
    }
    if (judged.kind !== 'begin') {
      return this.#send(wire.query(judged.text), { of: 'query', tag: judged.tag, insteadOfSuccess: fault })
    }
    const [, begin = '', rest = ''] = /^([^;]*)(?:;([\s\S]*))?$/.exec(judged.text) ?? []
    this.#send(wire.query(`${begin}; ${markExplicit}; ${rest}`), { of: 'query', hiddenTags: 1 })
  }

  #refuseQuery({ kind }: Judged): Refusal | undefined {
    if (this.#suspended !== undefined && kind !== 'commit') return secondPortal
    return kind === 'begin' && this.#isOpen ? secondBegin : undefined
  }

  #commitHidden(): void {
    this.#isOpen = false
    this.#runHidden(own.commit)
  }

  #runHidden(name: string): void {
    this.#send(
      Buffer.concat([wire.bind(own.portal, name), wire.execute(own.portal), wire.closePortal(own.portal)]),
      { of: 'bind', hidden: true },
      { of: 'execute', hidden: true },
      { of: 'close', hidden: true },
    )
  }

  /** Makes PostgreSQL fail here, so that the transaction is what a failure makes of it. The rest is skipped up to Sync. */
  #raise(refusal: Refusal): void {
    this.#isSkipping = true
    this.#send(
      Buffer.concat([wire.parse('', raiseText(refusal)), wire.bind('', ''), wire.execute('')]),
      { of: 'parse', hidden: true },
      { of: 'bind', hidden: true },
      { of: 'execute' },
    )
    this.#statements.delete('')
  }

  /** Sends messages of our own and drops their answers; ends with what was put off meanwhile. */
  #sendHidden(bytes: Buffer): void {
    this.#isHiding = true
    this.#upstream.write(bytes)
  }

  #give(chunk: Buffer): void {
    for (const message of this.#fromServer.read(chunk)) {
      if (this.#isCut) return
      if (!this.#isReady) this.#greet(message)
      else if (this.#isHiding) this.#hide(message)
      else this.#answer(message)
    }
    if (this.#out.length > 0) this.#client.write(Buffer.concat(this.#out))
    this.#out = []
    this.#pump()
  }

  /** Up to the first ReadyForQuery; before that is shown, the session is made what it is to look like. */
  #greet({ type, bytes }: Message): void {
    if (type === 'S') return this.#showParameter(bytes)
    if (type !== 'Z') return void this.#out.push(bytes)
    this.#isReady = true
    const settings = Object.entries(this.#o.settings).map(
      ([name, value]) =>
        `standin.set_config('${ownName(name)}', COALESCE(NULLIF(pg_catalog.current_setting('${ownName(name)}', true), ''), '${value}'), false)`,
    )
    const text = `SELECT pg_catalog.set_config('standin.version', '${this.#o.version}', false), ${settings.join(', ')}`
    this.#sendHidden(
      Buffer.concat([
        wire.parse(own.explicit, markExplicit),
        wire.parse(own.commit, 'COMMIT'),
        wire.parse('', text),
        wire.bind('', ''),
        wire.execute(''),
        wire.sync,
      ]),
    )
  }

  #hide({ type, bytes }: Message): void {
    if (type === 'N') this.#learn(bytes)
    if (type !== 'Z') return
    this.#isHiding = false
    this.#status = bytes.toString('latin1', 5, 6)
    this.#settings = []
    this.#showReady()
  }

  #answer({ type, bytes }: Message): void {
    if (type === 'Z') return this.#finish(bytes.toString('latin1', 5, 6))
    if (type === 'E') return this.#showError(bytes)
    if (type === 'S') return this.#showParameter(bytes)
    if (type === 'N') return this.#learn(bytes) ? undefined : this.#show(bytes)
    const [head] = this.#due
    if (type === '1' || type === '2' || type === '3') {
      if (head?.of !== dueOf[type]) throw new Error(`stand-in: answer ${type} while ${head?.of} is due`)
      this.#due.shift()
      return head.hidden === true ? undefined : this.#show(bytes)
    }
    if ((type === 'T' || type === 'n') && head?.of === 'describe') this.#due.shift()
    if (type === 'C' || type === 'I' || type === 's') return this.#complete(type, bytes, head)
    if (head?.hidden !== true) this.#show(bytes)
  }

  #complete(type: string, bytes: Buffer, head: Due | undefined): void {
    if (head?.of === 'query') {
      if (this.#tags++ === head.hiddenTags) return
    } else {
      this.#due.shift()
      if (type === 's') this.#suspended = head?.portal
      else if (this.#suspended === head?.portal) this.#suspended = undefined
    }
    if (head?.hidden === true) return
    if (head?.insteadOfSuccess !== undefined) return this.#showRefusal(head.insteadOfSuccess)
    this.#show(type === 'C' && head?.tag !== undefined ? wire.commandComplete(head.tag) : bytes)
  }

  #showError(bytes: Buffer): void {
    const fields = wire.readFields(bytes)
    // Where in PostgreSQL's source: CockroachDB has its own.
    for (const letter of ['F', 'L', 'R']) fields.delete(letter)
    while (this.#due.length > 0 && this.#due[0]?.of !== 'sync' && this.#due[0]?.of !== 'query') this.#due.shift()
    this.#show(wire.errorResponse(fields))
  }

  #showRefusal({ sqlstate, message }: Refusal): void {
    this.#show(
      wire.errorResponse(
        new Map([
          ['S', 'ERROR'],
          ['V', 'ERROR'],
          ['C', sqlstate],
          ['M', message],
        ]),
      ),
    )
  }

  #showParameter(bytes: Buffer): void {
    const [name = ''] = wire.readTexts(bytes, 1).texts
    this.#out.push(name === 'server_version' ? wire.parameterStatus(name, '13.0.0') : bytes)
  }

  /** Is it the notice of a setting of the session? */
  #learn(bytes: Buffer): boolean {
    const fields = wire.readFields(bytes)
    if (fields.get('C') !== noticeState) return false
    const name = fields.get('M') ?? ''
    const value = fields.get('D') ?? ''
    if (name === ownName('autocommit_before_ddl')) this.#commitsBeforeDdl = value !== 'off'
    this.#settings.push([name, value])
    return true
  }

  #finish(status: string): void {
    this.#due.shift()
    this.#tags = 0
    this.#status = status
    const after: string[] = []
    if (this.#endsAtFault && status === 'E') after.push('ROLLBACK')
    this.#endsAtFault = false
    if (status === 'I' || after.length > 0) {
      for (const [name, value] of this.#settings) {
        after.push(`SELECT pg_catalog.set_config('${name}', '${value.replaceAll("'", "''")}', false)`)
      }
      this.#settings = []
    }
    if (after.length > 0) this.#sendHidden(wire.query(after.join('; ')))
    else this.#showReady()
  }

  #showReady(): void {
    this.#isWaiting = false
    this.#isOpen = this.#status !== 'I'
    if (!this.#isOpen) this.#suspended = undefined
    this.#show(wire.readyForQuery(this.#status))
  }

  #show(bytes: Buffer): void {
    const cut = this.#o.faults.takeCut('server')
    if (cut === undefined || cut.arrives) this.#out.push(bytes)
    if (cut === undefined) return
    this.#isCut = true
    this.#client.end(Buffer.concat(this.#out))
    this.#upstream.end()
  }
}
