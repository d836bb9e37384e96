import { execFile } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { startServe } from './serve-process.ts'

const root = fileURLToPath(new URL('../', import.meta.url))
const readme = readFileSync(join(root, 'README.md'), 'utf8')

/** The blocks of the first session, one after another, as somebody would paste them. */
function session(): string {
  const [, part = ''] = /<!-- session -->([\s\S]*?)<!-- \/session -->/.exec(readme) ?? []
  return [...part.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, block = '']) => block).join('\n')
}

it('the first session of the README ends as it says, pasted line by line', async () => {
  const lines = session()
    .split('\n')
    .filter((line) => line !== '')
  expect(lines.length).toBeGreaterThan(15)
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-readme-'))
  // As root, PostgreSQL runs under another account, which must pass through.
  chmodSync(directory, 0o711)
  const server = await startServe({ HOLDFAST_DATA_DIR: join(directory, '.holdfast') })
  try {
    const script = lines
      .map((line, index) => `${line}\necho; echo "== ${index}"`)
      .join('\n')
      .replaceAll('http://localhost:7070', server.origin)
      .replaceAll(
        'node dist/cli/main.js',
        `node --import ${join(root, 'node_modules/tsx/dist/loader.mjs')} ${join(root, 'src/cli/main.ts')}`,
      )
    const { stdout } = await promisify(execFile)('bash', ['-c', script], {
      cwd: directory,
      env: { PATH: process.env['PATH'] },
    })
    const answers = stdout
      .split(/^== \d+$/m)
      .map((text) => text.trim())
      .filter((text) => text.startsWith('{'))
      .map((text) => JSON.parse(text) as Record<string, unknown>)
    const acme = { slug: 'acme', name: 'Acme', role: 'owner' }
    expect(answers).toMatchObject([
      { tenant: acme },
      { tenant: { slug: 'globex' } },
      { display_name: 'Ann', email: 'ann@acme.example' },
      { slug: 'core', name: 'Core of Acme' },
      { slug: 'core', name: 'Core of Globex' },
      { members: [{ display_name: 'Ann', role: 'lead' }] },
      { members: [{ display_name: 'Bob', role: 'lead' }] },
      { display_name: 'Ann', email: 'ann@acme.example' },
      { status: 404 },
      { status: 401, code: 'unauthenticated' },
      { status: 401, code: 'unauthenticated' },
    ])
  } finally {
    expect(await server.stop()).toBe(0)
    rmSync(directory, { recursive: true, force: true })
  }
})

it('every link between the documents leads to a file', () => {
  const documents = ['README.md', 'ARCHITECTURE.md', 'SECURITY.md', 'CONTRIBUTING.md', 'CHANGELOG.md']
  let links = 0
  for (const document of documents) {
    const text = readFileSync(join(root, document), 'utf8')
    for (const [, target = ''] of text.matchAll(/\]\((?!https?:)([^)#]+)/g)) {
      links++
      expect([document, target, existsSync(join(root, dirname(document), target))]).toEqual([document, target, true])
    }
  }
  expect(links).toBeGreaterThan(10)
})
