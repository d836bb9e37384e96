/** The service cannot start; the message says why and what to do, in one paragraph for the operator. */
export class StartError extends Error {
  override readonly name = 'StartError'
  readonly code = 'start_refused'
}
