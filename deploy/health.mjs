/** node health.mjs /ready: exits with 0 when the service in this container answers, with 1 otherwise. */
const path = process.argv[2] ?? '/ready'
try {
  const answer = await fetch(`http://127.0.0.1:${process.env.PORT ?? '7070'}${path}`, {
    signal: AbortSignal.timeout(4_000),
  })
  process.exitCode = answer.ok ? 0 : 1
} catch {
  process.exitCode = 1
}
