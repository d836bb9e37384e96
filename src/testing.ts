/**
 * `holdfast/testing`: a real database for an application's own tests, with both walls, undone after each.
 * @example
 * const test = await openTestHoldfast({ manifest, migrations: new URL('../migrations/', import.meta.url) })
 * const clerk = await test.asCaller({ tenant: 'acme', role: 'clerk' })
 * await app.inject({ url: '/invoices', headers: clerk.headers })
 */
export { openTestHoldfast, type TestCaller, type TestHoldfast, type TestHoldfastOf } from './testing/test-holdfast.ts'
export { expectIsolated, type Finding, IsolationError, type IsolationOptions } from './testing/expect-isolated.ts'
export type { Sample, Samples } from './testing/plan-request.ts'
export type { Seed, SeededTenant } from './testing/seed-tenant.ts'
