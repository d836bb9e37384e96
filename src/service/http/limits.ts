/**
 * Limits of the HTTP server, each with its unit and reason (CWE-400, CWE-770); docs/limits.md lists them for operators.
 */

/** Longest body, in bytes: the largest of our requests has under 2 KiB. */
export const BODY_BYTES = 64 * 1024
/** Longest request line and headers together, in bytes: Node's own default, said so that it stays. */
export const HEADER_BYTES = 16 * 1024
/** Most headers of a request: browsers and a chain of proxies send about thirty. */
export const HEADERS_COUNT = 100
/** Longest path parameter, in characters: an id has 36, a slug 32. */
export const PARAMETER_CHARACTERS = 128
/** All headers must be there by then, in milliseconds (slowloris). */
export const HEADERS_TIMEOUT_MS = 10_000
/** The whole request must be there by then, in milliseconds. */
export const REQUEST_TIMEOUT_MS = 20_000
/** How often Node looks for connections past these two, in milliseconds: its 30 s would triple them. */
export const CONNECTION_CHECK_MS = 5_000
/** An idle kept-alive connection is closed then, in milliseconds: longer than the pauses of a client at work. */
export const KEEP_ALIVE_MS = 10_000
/** A connection that sends nothing and gets nothing is closed then, in milliseconds. */
export const SOCKET_TIMEOUT_MS = 60_000
/** In-flight requests may finish for so long at shutdown, in milliseconds: twice a transaction's 5 s. */
export const DRAIN_MS = 10_000
/** Most faults of one body that an answer lists. */
export const REPORTED_FAULTS = 20
