import { execFile } from 'node:child_process'
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { startServe } from './serve-process.ts'

const root = fileURLToPath(new URL('../', import.meta.url))
const cli = `node --import ${join(root, 'node_modules/tsx/dist/loader.mjs')} ${join(root, 'src/cli/main.ts')}`

type Guide = {
  readonly name: string
  readonly page: string
  readonly make: (directory: string) => void
  answers: object[]
}
const read = (path: string): string => readFileSync(join(root, path), 'utf8')

/** Writes every file of docs/start.md. */
function makeNotes(directory: string): void {
  const files = [...read('docs/start.md').matchAll(/<!-- file: (\S+) -->\n```\w+\n([\s\S]*?)```/g)]
  for (const [, path = '', text = ''] of files) {
    mkdirSync(dirname(join(directory, path)), { recursive: true })
    writeFileSync(join(directory, path), text)
  }
  expect(files.map(([, path = '']) => path)).toEqual([
    'migrations/0001-notes.sql',
    'holdfast.config.ts',
    'test/notes.test.ts',
  ])
}

const guides: Guide[] = [
  {
    name: 'docs/start.md',
    page: read('docs/start.md'),
    make: makeNotes,
    answers: [
      { tenant: { slug: 'acme' } },
      { text: 'of Acme' },
      { notes: [{ text: 'of Acme' }] },
      { tenant: { slug: 'globex' } },
      { notes: [] },
      { status: 401, code: 'unauthenticated' },
    ],
  },
  {
    name: 'examples/invoices/README.md',
    page: read('examples/invoices/README.md'),
    make: (directory) => cpSync(join(root, 'examples/invoices'), directory, { recursive: true }),
    answers: [
      { tenant: { slug: 'acme' } },
      { title: 'Work', cents: '5000' },
      { number: '2026-1', status: 'draft' },
      { status: 401, code: 'unauthenticated' },
    ],
  },
]

it.each(guides)('$name ends as it says, file by file and line by line', async ({ page, make, answers: expected }) => {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-start-'))
  // as root, PostgreSQL runs under another account, which must pass through
  chmodSync(directory, 0o711)
  make(directory)
  const environment = { HOLDFAST_DATA_DIR: join(directory, '.holdfast') }
  const server = await startServe(environment, ['--config', join(directory, 'holdfast.config.ts')])
  try {
    const [, session = ''] = /<!-- session -->\n```sh\n([\s\S]*?)```/.exec(page) ?? []
    const lines = session.split('\n').filter((line) => line !== '')
    expect(lines.length).toBeGreaterThan(6)
    const script = lines
      .map((line) => `${line}\necho`)
      .join('\n')
      .replaceAll('http://localhost:7070', server.origin)
      .replaceAll('npx holdfast', cli)
    const { stdout } = await promisify(execFile)('bash', ['-c', script], {
      cwd: directory,
      env: { PATH: process.env['PATH'] },
    })
    const answers = stdout
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Record<string, unknown>)
    expect(answers).toMatchObject(expected)
  } finally {
    expect(await server.stop()).toBe(0)
    rmSync(directory, { recursive: true, force: true })
  }
})

/** The configuration that stands in for an installed package. */
const packages = `export default { resolve: { alias: [
  { find: /^holdfast$/, replacement: '${join(root, 'src/index.ts')}' },
  { find: /^holdfast\\/(\\w+)$/, replacement: '${join(root, 'src/$1.ts')}' },
] } }`

/** Answers every GET with all tenants' notes, read past both walls. */
const leak = `
app.addHook('onSend', async ({ method }) =>
  method === 'GET' ? JSON.stringify({ notes: await test.asOwner('SELECT text FROM app.notes') }) : undefined)`

it.each([
  ['as it stands', '', { numPassedTests: 2, numFailedTests: 0 }, ''],
  ['with a leak, which both find', leak, { numPassedTests: 0, numFailedTests: 2 }, 'the application is not isolated'],
])('the tests of docs/start.md, %s', async (_, planted, counts, message) => {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-start-'))
  try {
    makeNotes(directory)
    symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'))
    writeFileSync(join(directory, 'vitest.config.ts'), packages)
    const path = join(directory, 'test/notes.test.ts')
    const line = 'await app.register(routes)'
    const text = readFileSync(path, 'utf8')
    expect(text).toContain(line)
    writeFileSync(path, text.replace(line, line + planted))
    const command = [join(root, 'node_modules/vitest/vitest.mjs'), 'run', '--reporter=json']
    const { stdout } = await promisify(execFile)(process.execPath, command, {
      cwd: directory,
      env: { PATH: process.env['PATH'] },
    }).catch((error: { stdout: string }) => error)
    expect(JSON.parse(stdout)).toMatchObject(counts)
    expect(stdout).toContain(message)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
})
