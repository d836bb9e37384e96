import type { MigrationProgress } from '../core/database/migrate.ts'
import type { Terminal } from './command.ts'

/** A statement that takes longer than this is told of again and again, in milliseconds. */
const REMINDER_MS = 5_000
/** The line on a terminal that is written over is kept true to this, in milliseconds. */
const REFRESH_MS = 1_000

/** What is told of a migration under way. */
export type ProgressTeller = {
  readonly tell: (progress: MigrationProgress) => void
  /** Nothing more is told. */
  end(): void
}

/**
 * Tells how far a migration has come: on a terminal in one line that is written over, else in plain lines – one a file,
 * and one every five seconds while a statement runs. Beside the results, so never in what another program reads.
 */
export function tellProgress({ err, status }: Terminal): ProgressTeller {
  let timer: NodeJS.Timeout | undefined
  const started = new Map<string, number>()
  const stop = (): void => {
    clearInterval(timer)
    status?.('')
  }
  const watch = (line: string): void => {
    const since = performance.now()
    const now = (): string => `${line}, ${Math.round((performance.now() - since) / 1000)} s`
    stop()
    status?.(now())
    timer = setInterval(() => (status ?? err)(now()), status === undefined ? REMINDER_MS : REFRESH_MS)
  }
  return {
    tell(progress) {
      if (progress.kind === 'waiting') {
        err(
          `waiting for ${progress.for}, which is migrating; its lease runs out in ${progress.secondsLeft} s unless renewed`,
        )
        return watch('waiting')
      }
      const { migration, file, files } = progress
      if (progress.kind === 'statement') {
        if (!started.has(migration)) {
          started.set(migration, performance.now())
          if (status === undefined) err(`applying ${migration} (file ${file} of ${files})`)
        }
        const { statement, statements } = progress
        return watch(`${migration} (file ${file} of ${files}): statement ${statement} of ${statements}`)
      }
      stop()
      const seconds = (performance.now() - (started.get(migration) ?? performance.now())) / 1000
      err(`applied ${migration} in ${seconds.toFixed(1)} s`)
    },
    end: stop,
  }
}
