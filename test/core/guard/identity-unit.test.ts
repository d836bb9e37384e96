import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import type { Transaction } from '../../../src/core/database/transaction.ts'
import type { Unit } from '../../../src/core/guard/guard.ts'
import { keepTransaction, transactionOf } from '../../../src/core/guard/identity-unit.ts'

const source = fileURLToPath(new URL('../../../src/', import.meta.url))

describe('a unit’s transaction', () => {
  it('is given for the unit that it was kept for, and no other', () => {
    const unit = {} as Unit
    const transaction = {} as Transaction
    keepTransaction(unit, transaction)
    expect(transactionOf(unit)).toBe(transaction)
    for (const other of [{ ...unit }, Object.create(unit) as Unit, new Proxy(unit, {})]) {
      expect(() => transactionOf(other)).toThrow('identity pool')
    }
  })

  it('is known to the guard and to the rooms of the identity role alone', () => {
    const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'))
    const users = files.filter((file) => readFileSync(source + file, 'utf8').includes('identity-unit.ts'))
    expect(users.length).toBeGreaterThan(3)
    for (const file of users) expect(file).toMatch(/^(core\/guard\/guard\.ts|service\/(identity|tenancy)\/)/)
  })
})
