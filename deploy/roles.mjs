/**
 * node roles.mjs SUPERUSER FILE…: makes the database and its five roles as `holdfast db roles` prints them, and gives
 * each login role the password of its URL. Every argument is a file that holds one URL. What is there already stays, so
 * it runs again after a password was changed in its file.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { readTarget } from '../dist/core/database/connection-target.js'
import { scramVerifier } from '../dist/core/database/scram.js'

const main = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url))
const LOGIN_ROLES = ['holdfast_app', 'holdfast_identity', 'holdfast_migrator']

const [superuserFile, ...files] = process.argv.slice(2)
const superuser = readTarget({ url: urlIn(superuserFile) })
const logins = files.map((file) => loginOf(new URL(oneHost(urlIn(file)))))
const [database, ...others] = new Set(logins.map((login) => login.database))
if (database === undefined || others.length > 0) fail('give the URLs of login roles, all of one database')

const outside = await connect(superuser)
const { rows } = await outside.query('SELECT pg_catalog.version() AS version')
const dialect = rows[0].version.startsWith('CockroachDB') ? 'cockroachdb' : 'postgresql'
const statements = JSON.parse(
  execFileSync(process.execPath, [main, 'db', 'roles', '--database', database, '--dialect', dialect, '--json'], {
    encoding: 'utf8',
  }),
)
const there = await namesOf(outside, 'SELECT datname AS name FROM pg_catalog.pg_database')
if (!there.has(database)) await outside.query(`CREATE DATABASE ${database}`)
const roles = await namesOf(outside, 'SELECT rolname AS name FROM pg_catalog.pg_roles')
for (const statement of statements.cluster) {
  const [, made] = /^CREATE ROLE (\w+)/.exec(statement) ?? []
  if (!roles.has(made)) await outside.query(statement)
}
for (const { role, password } of logins) {
  // PostgreSQL gets the verifier alone: a password in a statement could end up in its log (CWE-532)
  const secret = dialect === 'postgresql' ? scramVerifier(password) : password.replaceAll("'", "''")
  await outside.query(`ALTER ROLE ${role} PASSWORD '${secret}'`)
}
await outside.end()
const inside = await connect({ ...superuser, database })
for (const statement of statements.database) await inside.query(statement)
await inside.end()
process.stdout.write(`The database ${database} and its roles are there.\n`)

async function connect({ host, port, user, password, database: name, ssl }) {
  const client = new pg.Client({ host, port, user, password, database: name, ssl: ssl ?? false })
  await client.connect()
  return client
}

async function namesOf(client, text) {
  return new Set((await client.query(text)).rows.map(({ name }) => name))
}

function loginOf({ username, password, pathname }) {
  const login = {
    role: decodeURIComponent(username),
    password: decodeURIComponent(password),
    database: decodeURIComponent(pathname.slice(1)),
  }
  // names are spliced into statements, where no parameter may stand (CWE-89)
  if (!LOGIN_ROLES.includes(login.role)) fail(`only ${LOGIN_ROLES.join(', ')} get passwords`)
  if (!/^[a-z_][a-z0-9_]{0,62}$/.test(login.database)) fail('the database must have a plain lower-case name')
  if (login.password.length < 32) fail(`the password of ${login.role} must have 32 characters or more`)
  return login
}

/** A URL may name several hosts, which URL() does not read; here only role, password and database count. */
function oneHost(url) {
  return url.replace(/@[^/]*\//, '@host/')
}

function urlIn(file) {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (error) {
    return fail(`${file} cannot be read (${error.code})`)
  }
}

function fail(message) {
  process.stderr.write(`roles: ${message}\n`)
  process.exit(2)
}
