import type { Refusal } from './statements.ts'

/** Which statement fails: the one that commits, or the so-manieth executed from now on, 0 being the next. */
export type Place = 'commit' | number

/** One statement that fails, once. `isApplied`: it is executed all the same, and only its answer is the error. */
export type Fault = Refusal & { readonly at: Place; readonly isApplied: boolean }

/** Where a connection is cut: after so many messages of one side, the last of which arrives or does not. */
export type Cut = { readonly side: 'client' | 'server'; readonly message: number; readonly arrives: boolean }

/** What is to go wrong next, on whichever connection comes there first; and what went over the wire. */
export class Faults {
  #fault: Fault | undefined
  #cut: Cut | undefined
  #statements = 0
  #messages = { client: 0, server: 0 }

  /** Makes a statement fail. */
  fail(sqlstate: string, at: Place, o: { readonly isApplied?: boolean } = {}): void {
    this.#statements = 0
    this.#fault = { sqlstate, message: `injected ${sqlstate}`, at, isApplied: o.isApplied === true }
  }

  /** Cuts a connection. Messages are counted from now on. */
  cut(cut: Cut): void {
    this.reset()
    this.#cut = cut
  }

  /** Counts from here, and nothing is to go wrong. */
  reset(): void {
    this.#fault = undefined
    this.#cut = undefined
    this.#messages = { client: 0, server: 0 }
  }

  /** Messages of each side since then. */
  get messages(): { readonly client: number; readonly server: number } {
    return this.#messages
  }

  /** Is something still to go wrong? */
  get isArmed(): boolean {
    return this.#fault !== undefined || this.#cut !== undefined
  }

  /** Takes the fault that is meant for a statement about to run. */
  takeFault(isCommit: boolean): Fault | undefined {
    const fault = this.#fault
    if (fault === undefined) return undefined
    if (fault.at === 'commit' ? !isCommit : this.#statements++ !== fault.at) return undefined
    this.#fault = undefined
    return fault
  }

  /** Counts a message; tells whether the connection is cut at it. */
  takeCut(side: Cut['side']): Cut | undefined {
    const number = this.#messages[side]++
    const cut = this.#cut
    if (cut?.side !== side || cut.message !== number) return undefined
    this.#cut = undefined
    return cut
  }
}
