import { afterAll, inject } from 'vitest'
import { type LocalName, startLocal } from '../../local-backends.ts'
import { contract, type Variant } from './contract.ts'

/** The contract on a backend that this file starts, unless the whole run has it. */
export async function contractOnLocal(name: LocalName, variants: readonly Variant[]): Promise<void> {
  const backends = inject('backends')
  if (backends[name] !== undefined) return contract(name, variants)
  const backend = await startLocal(name, backends.embedded ?? { skipped: 'it did not start' })
  afterAll(() => backend.stop())
  contract(name, variants, backend.setup)
}
