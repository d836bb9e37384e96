import { beforeAll, describe, expect, it } from 'vitest'
import { tellRefusal } from '../../../src/cli/explain.ts'
import { refusedBy } from '../../../src/cli/verdict.ts'
import { confine } from '../../../src/core/guard/scoped-database.ts'
import { parseGrants } from '../../../src/core/scope/grants.ts'
import { parseManifest } from '../../../src/core/scope/manifest.ts'
import { refusalCodes, ScopeRefusal } from '../../../src/core/scope/refusals.ts'
import { createScope, loadKernel } from '../../../src/core/scope/scope.ts'

const manifest = parseManifest({
  tables: [
    {
      schema: 'app',
      name: 'invoices',
      resource: 'invoice',
      tenant: 'tenant_id',
      owner: 'created_by',
      columns: {
        tenant_id: { type: 'uuid' },
        id: { type: 'uuid' },
        created_by: { type: 'uuid' },
        title: { type: 'text' },
        total: { type: 'int8' },
        number: { type: 'text', readOnly: ['clerk'] },
      },
    },
    {
      schema: 'app',
      name: 'lines',
      resource: 'invoice',
      through: { table: 'invoices', column: 'invoice_id', references: 'id' },
      columns: { invoice_id: { type: 'uuid' }, text: { type: 'text' } },
    },
    {
      schema: 'app',
      name: 'overdue',
      resource: 'invoice',
      tenant: 'tenant_id',
      view: true,
      columns: { tenant_id: { type: 'uuid' }, id: { type: 'uuid' } },
    },
    {
      schema: 'app',
      name: 'countries',
      resource: 'country',
      shared: true,
      columns: { code: { type: 'text' }, name: { type: 'text' } },
    },
  ],
  roles: {
    keeper: ['invoice:read', 'invoice:create', 'invoice:update', 'invoice:delete', 'country:read'],
    clerk: ['invoice:read', 'invoice:create@own', 'invoice:update@own'],
  },
})

const caller = { tenantId: '11111111-1111-4111-8111-111111111111', userId: '22222222-2222-4222-8222-222222222222' }
const other = '33333333-3333-4333-8333-333333333333'

/** A statement, its values, and on which route: under the role `keeper` unless another is named. */
type Sending = {
  readonly text: string
  readonly values?: readonly unknown[]
  readonly role?: string
  readonly readOnly?: boolean
}

/** What is refused, and what is accepted instead. */
type Example = {
  readonly refused: Sending
  /** how the page writes a text that is too long for it */
  readonly shown?: string
  readonly instead?: Sending
  /** in a sentence, where no statement says it */
  readonly remedy?: string
}

const examples: Readonly<Record<string, Example>> = {
  text_malformed: {
    refused: { text: "SELECT id FROM invoices WHERE title = 'a\0b'" },
    instead: { text: 'SELECT id FROM invoices WHERE title = $1', values: ['ab'] },
  },
  text_too_large: {
    refused: { text: `SELECT id FROM invoices WHERE total IN (${'7, '.repeat(12_000)}7)` },
    shown: 'SELECT id FROM invoices WHERE total IN (7, 7, 7, … twelve thousand of them …)',
    instead: { text: 'SELECT id FROM invoices WHERE total = ANY ($1::int8[])', values: [[7, 7]] },
  },
  text_too_deep: {
    refused: { text: `SELECT ${'('.repeat(65)}1${')'.repeat(65)}` },
    instead: { text: 'SELECT 1' },
  },
  identifier_not_ascii: {
    refused: { text: 'SELECT title AS größe FROM invoices' },
    instead: { text: 'SELECT title AS groesse FROM invoices' },
  },
  syntax_error: {
    refused: { text: 'SELECT title, FROM invoices' },
    instead: { text: 'SELECT title FROM invoices' },
  },
  not_one_statement: {
    refused: { text: 'DELETE FROM invoices WHERE id = $1; SELECT title FROM invoices', values: [other] },
    instead: { text: 'DELETE FROM invoices WHERE id = $1', values: [other] },
    remedy: 'And then the other, by a call of its own.',
  },
  statement_not_accepted: {
    refused: { text: 'TRUNCATE invoices' },
    instead: { text: 'DELETE FROM invoices' },
  },
  construct_not_accepted: {
    refused: { text: 'SELECT title FROM invoices TABLESAMPLE SYSTEM (10)' },
    instead: { text: 'SELECT title FROM invoices ORDER BY id LIMIT 10' },
  },
  function_not_accepted: {
    refused: { text: "SELECT query_to_xml('SELECT title FROM invoices', true, true, '')" },
    instead: { text: 'SELECT json_agg(i.title) FROM invoices i' },
  },
  operator_not_accepted: {
    refused: { text: 'SELECT id FROM invoices WHERE title OPERATOR(app.=) $1', values: ['May'] },
    instead: { text: 'SELECT id FROM invoices WHERE title = $1', values: ['May'] },
  },
  type_not_accepted: {
    refused: { text: "SELECT 'invoices'::regclass" },
    instead: { text: "SELECT 'invoices'::text" },
  },
  relation_unknown: {
    refused: { text: 'SELECT usename FROM pg_shadow' },
    remedy: 'Add the table to the manifest. A catalog of the database itself is never within reach.',
  },
  relation_not_accepted: {
    refused: { text: 'SELECT title FROM ONLY invoices' },
    instead: { text: 'SELECT title FROM invoices' },
  },
  relation_shared: {
    refused: { text: 'UPDATE countries SET name = $1', values: ['Iceland'] },
    instead: { text: 'SELECT name FROM countries' },
  },
  relation_view: {
    refused: { text: 'DELETE FROM overdue WHERE id = $1', values: [other] },
    instead: { text: 'DELETE FROM invoices WHERE id = $1', values: [other] },
  },
  column_unknown: {
    refused: { text: 'UPDATE invoices SET paid = true WHERE id = $1', values: [other] },
    instead: { text: 'UPDATE invoices SET title = $2 WHERE id = $1', values: [other, 'May'] },
  },
  column_not_accepted: {
    refused: { text: 'SELECT x.format FROM (SELECT title AS format FROM invoices) x' },
    instead: { text: 'SELECT x.layout FROM (SELECT title AS layout FROM invoices) x' },
  },
  column_read_only: {
    refused: { role: 'clerk', text: 'UPDATE invoices SET number = $1', values: ['R-7'] },
    instead: { text: 'UPDATE invoices SET number = $1', values: ['R-7'] },
    remedy: 'The role `keeper` may write it.',
  },
  name_reserved: {
    refused: { text: 'WITH invoices AS (SELECT 1 AS id) SELECT id FROM invoices' },
    instead: { text: 'WITH chosen AS (SELECT 1 AS id) SELECT id FROM chosen' },
  },
  grant_missing: {
    refused: { role: 'clerk', text: 'DELETE FROM invoices WHERE id = $1', values: [other] },
    remedy: "Grant the role what the hint names, and let the route declare it: `can('invoice:delete')`.",
  },
  tenant_not_assignable: {
    refused: { text: 'UPDATE invoices SET tenant_id = $1', values: [other] },
    instead: { text: 'UPDATE invoices SET title = $1', values: ['May'] },
  },
  owner_not_assignable: {
    refused: { role: 'clerk', text: 'UPDATE invoices SET created_by = $1', values: [other] },
    instead: { role: 'clerk', text: 'UPDATE invoices SET title = $1', values: ['May'] },
  },
  link_not_assignable: {
    refused: { text: 'INSERT INTO lines (invoice_id, text) VALUES ($1, $2)', values: [other, 'Paper'] },
    instead: {
      text: 'INSERT INTO lines (invoice_id, text) SELECT i.id, $2 FROM invoices i WHERE i.id = $1',
      values: [other, 'Paper'],
    },
  },
  column_list_missing: {
    refused: { text: 'INSERT INTO invoices VALUES ($1, $2)', values: [other, 'May'] },
    instead: { text: 'INSERT INTO invoices (id, title) VALUES ($1, $2)', values: [other, 'May'] },
  },
  grouping_incomplete: {
    refused: {
      text: 'SELECT i.id, i.title, count(*) FROM invoices i JOIN lines l ON l.invoice_id = i.id GROUP BY i.id',
    },
    instead: {
      text: 'SELECT i.id, i.title, count(*) FROM invoices i JOIN lines l ON l.invoice_id = i.id GROUP BY i.id, i.title',
    },
  },
  size_too_large: {
    refused: { text: 'SELECT repeat(title, $1::int4) FROM invoices', values: [1_000_000_000] },
    instead: { text: 'SELECT repeat(title, $1::int4) FROM invoices', values: [3] },
  },
  parameter_count: {
    refused: { text: 'SELECT title FROM invoices WHERE id = $1', values: [] },
    instead: { text: 'SELECT title FROM invoices WHERE id = $1', values: [other] },
  },
  parameter_invalid: {
    refused: { text: 'SELECT title FROM invoices WHERE id = $2', values: [other] },
    instead: { text: 'SELECT title FROM invoices WHERE id = $1', values: [other] },
  },
  tenant_mismatch: {
    refused: { text: 'INSERT INTO invoices (tenant_id, title) VALUES ($1, $2)', values: [other, 'May'] },
    instead: { text: 'INSERT INTO invoices (title) VALUES ($1)', values: ['May'] },
  },
  owner_mismatch: {
    refused: {
      role: 'clerk',
      text: 'INSERT INTO invoices (created_by, title) VALUES ($1, $2)',
      values: [other, 'May'],
    },
    instead: { role: 'clerk', text: 'INSERT INTO invoices (title) VALUES ($1)', values: ['May'] },
  },
  read_only_route: {
    refused: { readOnly: true, text: 'UPDATE invoices SET title = $1', values: ['May'] },
    remedy: 'Declare the route with the method of a change.',
  },
  not_proven: {
    refused: {
      text: 'UPDATE invoices SET title = $1 WHERE id = $2 RETURNING old.*',
      values: ['May', other],
    },
    instead: {
      text: 'UPDATE invoices SET title = $1 WHERE id = $2 RETURNING old.title',
      values: ['May', other],
    },
  },
}

const scope = createScope({ manifest, dialect: 'postgresql' })
beforeAll(() => loadKernel())

/** Scopes and binds, as a unit of work does before it sends. */
function send({ text, values = [], role = 'keeper', readOnly = false }: Sending): ScopeRefusal | undefined {
  try {
    const grants = parseGrants(manifest.roles[role] ?? [])
    confine(scope, { text, values }, { ...caller, role, grants, readOnly })
    return undefined
  } catch (error) {
    if (error instanceof ScopeRefusal) return error
    throw error
  }
}

it('every code has an example', () => {
  expect(Object.keys(examples).sort()).toEqual(Object.keys(refusalCodes).sort())
})

describe.each(Object.entries(examples))('%s', (code, { refused, instead, remedy }) => {
  it('is what its example is refused with', () => {
    expect(send(refused)?.code).toBe(code)
  })

  it('can be written instead', () => {
    if (instead !== undefined) expect(send(instead)).toBeUndefined()
    expect(instead ?? remedy).toBeDefined()
  })
})

/** Made again with: npx vitest run test/core/scope/refusals.test.ts --update */
it('docs/refusals.md has every one as explain prints it', async () => {
  const sections = Object.entries(refusalCodes).flatMap(([code, message]) => {
    const example = examples[code]
    return example === undefined ? [] : ['', `## ${code}`, '', message, ...tell(example)]
  })
  const page = [
    '# Refusals',
    '',
    'Why a statement is not sent: every code, with an example, what `holdfast explain` prints for it ([explain.md](explain.md)), and how to write it instead. A client never sees any of it.',
    '',
    'The examples are about `invoices`, whose tenant is `tenant_id` and whose owner is `created_by`; their `lines`, which have no tenant of their own; `overdue`, a view of them; and `countries`, which all tenants share. The role holds every grant on invoices; where it is `clerk`, those to read all and to change its own.',
    ...sections,
    '',
  ].join('\n')
  await expect(page).toMatchFileSnapshot('../../../docs/refusals.md')
})

function tell({ refused, shown, instead, remedy }: Example): string[] {
  const refusal = send(refused)
  if (refusal === undefined) throw new Error(`was accepted: ${refused.text}`)
  const printed = tellRefusal(refusedBy(refusal), { sql: refused.text, line: 1 }, false)
  const otherwise = instead === undefined ? [] : ['', 'Instead:', '', ...statement(instead.text, instead)]
  return [
    '',
    ...statement(shown ?? refused.text, refused),
    '',
    '```text',
    ...printed,
    '```',
    ...otherwise,
    ...(remedy === undefined ? [] : ['', remedy]),
  ]
}

/** A statement as SQL, and beside it what belongs to it. */
function statement(text: string, { role, values = [], readOnly }: Sending): string[] {
  const facts = [
    ...(role === undefined ? [] : [`as ${role}`]),
    ...(readOnly === undefined ? [] : ['on a route that may only read']),
    ...(values.length === 0 ? [] : [`values: ${JSON.stringify(values)}`]),
  ]
  const comment = facts.length === 0 ? [] : [`-- ${facts.join('; ')}`]
  return ['```sql', ...comment, text.replaceAll('\0', '␀'), '```']
}
