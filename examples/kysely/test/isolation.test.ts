import { expectIsolated } from 'holdfast/testing'
import { expect, it } from 'vitest'
import { openApp } from './open-app.ts'

const { app, test } = await openApp()

// some hundreds of requests
it('two tenants, every role, every route: nothing crosses', { timeout: 60_000 }, async () => {
  const { requests } = await expectIsolated(app, {
    test,
    samples: {
      'POST /rooms/:id/bookings': {
        body: { title: 'x', starts_at: '2026-01-01T10:00:00Z', ends_at: '2026-01-01T11:00:00Z' },
      },
    },
  })
  expect(requests).toBeGreaterThan(50)
})
