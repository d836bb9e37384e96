import type { Attack } from '../attack.ts'
import { bounds } from './bounds.ts'
import { changes } from './changes.ts'
import { classics } from './classics.ts'
import { cockroachdb } from './cockroachdb.ts'
import { functions } from './functions.ts'
import { inserts } from './inserts.ts'
import { joins } from './joins.ts'
import { locks } from './locks.ts'
import { predicates } from './predicates.ts'
import { relations } from './relations.ts'
import { rows } from './rows.ts'
import { texts } from './texts.ts'
import { values } from './values.ts'
import { writing } from './writing.ts'

/** All attacks, group by group. */
export const groups: readonly (readonly [title: string, attacks: readonly Attack[]])[] = [
  ['What is tried first', classics],
  ['Relations', relations],
  ['Conditions', predicates],
  ['Joins', joins],
  ['Rows and columns', rows],
  ['Row locks', locks],
  ['INSERT', inserts],
  ['UPDATE, DELETE and RETURNING', changes],
  ['Writes within WITH, and other statements', writing],
  ['Functions', functions],
  ['Types and values', values],
  ['Sizes and depth', bounds],
  ['Letters and literals', texts],
  ['CockroachDB', cockroachdb],
]

export const attacks: readonly Attack[] = groups.flatMap(([, group]) => group)
