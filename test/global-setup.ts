import type { TestProject } from 'vitest/node'
import { type Backend, type BackendName, type BackendSetup, startBackends } from './backends.ts'

declare module 'vitest' {
  interface ProvidedContext {
    backends: Record<BackendName, BackendSetup>
  }
}

/** Starts what the whole run shares: one embedded PostgreSQL, and the external databases that were named. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const backends: Backend[] = await startBackends()
  project.provide(
    'backends',
    Object.fromEntries(backends.map(({ name, setup }) => [name, setup])) as Record<BackendName, BackendSetup>,
  )
  return async () => {
    for (const backend of backends.reverse()) await backend.stop()
  }
}
