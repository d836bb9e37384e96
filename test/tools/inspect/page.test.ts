import { expect, it } from 'vitest'
import { rules } from '../../../src/tools/inspect/rules.ts'

const TOPICS: Readonly<Record<string, string>> = {
  logins: 'URLs',
  roles: 'Roles',
  tables: 'Tables',
  columns: 'Columns',
  policies: 'Policies',
  keys: 'Keys and indexes',
  grants: 'Grants',
  public: 'PUBLIC',
  views: 'Views',
  functions: 'Functions',
  session: 'Sessions',
  server: 'Server',
}

/** Made again with: npx vitest run test/tools/inspect/page.test.ts --update */
it('docs/doctor.md has every rule', async () => {
  expect(Object.keys(TOPICS)).toEqual(Object.keys(rules))
  const all = Object.values(rules).flat()
  expect(new Set(all.map(({ id }) => id)).size).toBe(all.length)
  const page = `# The doctor

\`holdfast doctor\` says what is wrong with a database: what was found, why it matters, and the exact statements that mend it.
\`holdfast serve\` judges by the same rules at every start, with the embedded database and with yours, and refuses to run when
an error is found; a warning is a line in its output. Nothing is ever changed: reading is all that either does.

\`\`\`sh
export DATABASE_URL='postgresql://holdfast_app:…@db.example.com/holdfast?sslmode=verify-full'
export HOLDFAST_IDENTITY_URL='postgresql://holdfast_identity:…@db.example.com/holdfast?sslmode=verify-full'
holdfast doctor          # for people
holdfast doctor --json   # {"findings": [{rule, level, object, what, why, cwe, mend}]}
holdfast doctor --fix    # what mends it, as a migration: to read, and to put beside your others
\`\`\`

With HOLDFAST_MIGRATOR_URL instead of the two, it looks as \`holdfast_migrator\`. Without any it looks at the embedded database
while that does not run. Exit codes: 0 nothing found, 1 something found, 2 wrong usage. What a migration may not do –
change roles, the database, or Holdfast's own functions – \`--fix\` prints as comments for whoever administers the database.

## What is expected

Your manifest and its roles, and Holdfast's own migrations, say how the database must be. On a table of the manifest
\`holdfast_app\` has SELECT, INSERT, UPDATE and DELETE where some role has \`read\`, \`create\`, \`update\` or \`reassign\`, and
\`delete\` on its resource (and SELECT where a condition of UPDATE or DELETE reads); on a shared table or a view SELECT alone.

## How policies are judged

By what they do, not by how they are written. The database itself computes each table's policies – permissive ones by OR,
restrictive ones by AND, for each role that serves and each verb – as \`holdfast_app\`, in a transaction that only reads, over
rows of two tenants, of none, and of every constant that the policy names, while \`holdfast.tenant_id\` is each of these, empty,
or was never set. An expression may look at the tenant column, that setting and constants alone, and compare by equality: so what
it does with these values it does with all. One that looks at anything else – a column, a table, a function, another setting, the
role, the clock – may open tomorrow, and is an error whatever it does today. An equivalent policy in other words is none.

What a policy cannot show – a trigger's effect, a hole in something the rules do not know – [the proof](proof.md) tries out.

## On CockroachDB

The rules are written for both databases, and **have been run on PostgreSQL alone so far**. Grants, functions, indexes,
triggers and default privileges are read from catalogs that CockroachDB does not document; there these rules judge nothing.
\`rolbypassrls\` is always false there before 25.3: look at \`SHOW USERS\`.

## The rules

${Object.entries(rules)
  .map(([topic, list]) =>
    [
      `### ${TOPICS[topic]}`,
      '',
      '| rule | level | what must hold | why | weakness |',
      '|---|---|---|---|---|',
      ...list.map(({ id, level, holds, why, cwe }) => `| \`${id}\` | ${level} | ${holds} | ${why} | ${cwe} |`),
      '',
    ].join('\n'),
  )
  .join('\n')}`
  await expect(page).toMatchFileSnapshot('../../../docs/doctor.md')
})
