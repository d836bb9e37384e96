/**
 * node entry.mjs DIRECTORY COMMAND…: runs `holdfast COMMAND…` with the secrets of a directory, each in a file of its
 * variable's name. So they stand in no description of a container and in no /proc/PID/environ (CWE-214, CWE-526).
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const KNOWN = [
  'DATABASE_URL',
  'HOLDFAST_IDENTITY_URL',
  'HOLDFAST_KEY',
  'HOLDFAST_MIGRATOR_URL',
  'HOLDFAST_PROXY_SECRET',
  'SMTP_URL',
]

const [directory = '', ...command] = process.argv.slice(2)
for (const name of filesOf(directory)) {
  // a misspelt name would be missed in silence
  if (!KNOWN.includes(name)) fail(`${join(directory, name)} is no secret that is known. Known: ${KNOWN.join(', ')}.`)
  if (process.env[name]) fail(`${name} is set twice: in the environment and in ${directory}.`)
  process.env[name] = readFileSync(join(directory, name), 'utf8').replace(/\r?\n$/, '')
}
const main = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url))
process.argv.splice(1, process.argv.length, main, ...command)
await import(main)

/** Kubernetes keeps what it mounts in folders whose names begin with dots. */
function filesOf(path) {
  try {
    return readdirSync(path).filter((name) => !name.startsWith('.'))
  } catch (error) {
    return fail(`The secrets in ${JSON.stringify(path)} cannot be read (${error.code}).`)
  }
}

function fail(message) {
  process.stderr.write(`holdfast: ${message}\n`)
  process.exit(2)
}
