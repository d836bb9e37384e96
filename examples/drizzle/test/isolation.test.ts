import { expectIsolated } from 'holdfast/testing'
import { expect, it } from 'vitest'
import { openApp } from './open-app.ts'

const { app, test } = await openApp()

// some hundreds of requests
it('two tenants, every role, every route: nothing crosses', { timeout: 60_000 }, async () => {
  const { requests } = await expectIsolated(app, { test })
  expect(requests).toBeGreaterThan(50)
})
