/** What is wrong with a database. */
export type Finding = {
  /** Which rule found it, such as `table-rls-forced`: stable, and documented in `docs/doctor.md`. */
  readonly rule: string
  /** An error refuses the start of `serve`. */
  readonly level: 'error' | 'warning'
  /** What it is about, such as `app.invoices`, `role holdfast_app` or `database holdfast`. */
  readonly object: string
  /** One sentence: what was found. */
  readonly what: string
  /** One sentence: why it matters. */
  readonly why: string
  readonly cwe: `CWE-${number}`
  /** The exact SQL statements that mend it, without semicolon; none only where no SQL can: then `what` says what to do. */
  readonly mend: readonly string[]
}
