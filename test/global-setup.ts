import type { TestProject } from 'vitest/node'
import { type Backend, type BackendName, type BackendSetup, startBackends } from './backends.ts'
import { isLocal, startLocal } from './local-backends.ts'

declare module 'vitest' {
  interface ProvidedContext {
    backends: Partial<Record<BackendName, BackendSetup>>
  }
}

/**
 * Starts what the whole run shares: one embedded PostgreSQL, the external databases that were named, and the one that
 * HOLDFAST_TEST_BACKEND chooses, if that is made here.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const backends: Backend[] = await startBackends()
  const chosen = process.env['HOLDFAST_TEST_BACKEND']
  const embedded = backends.find(({ name }) => name === 'embedded')
  if (embedded !== undefined && isLocal(chosen) && !backends.some(({ name }) => name === chosen)) {
    backends.push(await startLocal(chosen, embedded.setup))
  }
  project.provide(
    'backends',
    Object.fromEntries(backends.map(({ name, setup }) => [name, setup])) as Partial<Record<BackendName, BackendSetup>>,
  )
  return async () => {
    for (const backend of backends.reverse()) await backend.stop()
  }
}
