import { expect, test } from 'vitest'
import { effectOf } from '../../../src/core/database/migration-effect.ts'
import { ownMigrations, readMigrations } from '../../../src/core/database/migration-file.ts'

test.each([
  ['repeatable', 'CREATE TABLE IF NOT EXISTS tenancy.one (id INT8)'],
  ['repeatable', 'ALTER TABLE tenancy.one ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY'],
  ['repeatable', 'DROP TABLE IF EXISTS tenancy.one'],
  ['data', 'DELETE FROM tenancy.one'],
  ['traced', 'CREATE SCHEMA app'],
  ['traced', 'CREATE UNIQUE INDEX x ON tenancy.one (id)'],
  ['traced', 'ALTER TABLE tenancy.one DROP COLUMN note'],
  ['colliding', 'DROP TABLE tenancy.one'],
  ['opaque', 'CREATE INDEX ON tenancy.one (id)'],
  ['opaque', 'CREATE TABLE one (id INT8)'],
  ['opaque', 'ALTER TABLE tenancy.one ADD CHECK (id > 0)'],
  ['opaque', 'CREATE INDEX x ON tenancy.one (id) USING HASH'],
  ['opaque', 'DO $$ BEGIN END $$'],
  ['opaque', 'GRANT SELECT ON TABLE tenancy.one TO holdfast_app; DROP TABLE tenancy.two'],
])('%s: %s', async (kind, text) => {
  expect((await effectOf(text)).kind).toBe(kind)
})

test('every statement of the house can be told, or run again', async () => {
  const files = await readMigrations(ownMigrations, 'cockroachdb')
  const steps = files.flatMap(({ steps: all }) => all)
  const effects = await Promise.all(steps.map(async ({ text }) => ({ text, kind: (await effectOf(text)).kind })))
  expect(effects.length).toBeGreaterThan(50)
  expect(effects.filter(({ kind }) => kind === 'opaque')).toEqual([])
})
