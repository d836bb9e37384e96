/** Fields that errors of all rooms have. */
type Coded = { readonly code?: unknown; readonly message: string; readonly stack?: string }

/** Errors that say by themselves what is wrong and what to do. */
const TOLD = new Set([
  'ConfigError',
  'StartError',
  'DatabaseError',
  'MigrationError',
  'ProtectError',
  'StatementError',
  'EmbeddedInUseError',
  'AccessError',
  'RouteDeclarationError',
])

/**
 * A failure as one readable paragraph; the stack is for whoever asks for it with HOLDFAST_DEBUG. What an optional package
 * of the service is missing is told as such.
 */
export function explainFailure(error: unknown, environment: Readonly<Record<string, string | undefined>>): string {
  if (!(error instanceof Error)) return `holdfast failed: ${String(error)}`
  if (environment['HOLDFAST_DEBUG']) return error.stack ?? error.message
  const { code, message } = error as Coded
  if (TOLD.has(error.name)) return `holdfast: ${message}${causeOf(error)}`
  if (code === 'ERR_MODULE_NOT_FOUND') {
    const name = /'([^']+)'/.exec(message)?.[1] ?? 'a package'
    return `holdfast: ${name} is not installed. It is optional for the library and needed for this command: npm install ${name}`
  }
  return `holdfast failed: ${message}. With HOLDFAST_DEBUG=1 it says where.`
}

/** The reason under a database error, such as "connect ECONNREFUSED"; never a server's DETAIL. */
function causeOf({ name, cause }: Error): string {
  // what the server said stands in it already
  if (name === 'MigrationError') return ''
  return cause instanceof Error &&
    cause.message !== '' &&
    // the message has it already
    cause.name !== 'ScopeRefusal' &&
    cause.name !== 'SettingsError' &&
    cause.name !== 'MailSettingsError'
    ? ` (${cause.message})`
    : ''
}
