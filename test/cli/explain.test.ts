import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { PassThrough } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { excerpt } from '../../src/core/scope/excerpt.ts'
import { main } from '../../src/cli/main.ts'
import { createJudge, type Verdict } from '../../src/cli/verdict.ts'
import { archive } from '../core/scope/archive.ts'
import { holdfast, type Run } from './fake-terminal.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const command = ['--import', join(root, 'node_modules/tsx/dist/loader.mjs'), join(root, 'src/cli/main.ts'), 'explain']

let directory: string
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'holdfast-explain-'))
  const roles = { clerk: ['doc:read', 'kind:read'], writer: ['doc:read', 'doc:update@own', 'doc:create'] }
  writeFileSync(join(directory, 'manifest.json'), JSON.stringify({ ...archive, roles }))
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

/** Runs `explain` in this process over the test's manifest. */
const explain = (args: readonly string[], input: Iterable<Uint8Array> = []): Promise<Run> =>
  holdfast(['explain', '--manifest', 'manifest.json', ...args], {}, directory, input)

async function answers(chunks: readonly (string | Uint8Array)[], args: readonly string[] = []): Promise<Verdict[]> {
  const bytes = chunks.map((chunk) => (typeof chunk === 'string' ? Buffer.from(chunk) : chunk))
  const { out } = await explain(['--jsonl', ...args], bytes)
  return out === '' ? [] : out.split('\n').map((line) => JSON.parse(line) as Verdict)
}

describe('one statement', () => {
  it('shows what it becomes, and its slots', async () => {
    const { code, out, err } = await explain(['SELECT title FROM docs WHERE id = $1 OR true', '--role', 'clerk'])
    expect([code, err]).toEqual([0, ''])
    expect(out).toMatch(/"app"\."docs" WHERE .*tenant_id.*\$2::int8/)
    expect(out).toMatch(/\n\n {2}\$1 = p1\n {2}\$2 = tenant(?:\n|$)/)
  })

  it('as data', async () => {
    const { code, out } = await explain(['SELECT title FROM docs WHERE id = $1', '--role', 'clerk', '--json'])
    const scoped = JSON.parse(out) as Verdict
    expect(code).toBe(0)
    expect(Object.keys(scoped)).toEqual(['verdict', 'sql', 'values', 'proof'])
    expect(scoped).toMatchObject({ verdict: 'scoped', values: ['p1', 'tenant'] })
    const refused = await explain(['DROP TABLE docs', '--role', 'clerk', '--json'])
    expect(refused.code).toBe(1)
    expect(JSON.parse(refused.out)).toEqual({
      verdict: 'refused',
      code: 'statement_not_accepted',
      position: 0,
      message: expect.any(String) as string,
      hint: expect.any(String) as string,
    })
  })

  it('judges by the role; without one every grant has reach own, and that is said once', async () => {
    expect((await explain(['UPDATE docs SET title = $1', '--role', 'clerk'])).err).toContain('grant_missing')
    expect((await explain(['UPDATE docs SET title = $1', '--role', 'writer'])).code).toBe(0)
    const { code, out, err } = await explain(['DELETE FROM docs WHERE id = $1', '--json'])
    expect([code, (JSON.parse(out) as { values: string[] }).values]).toEqual([0, ['p1', 'tenant', 'user']])
    expect(err).toBe(
      'No role is named: every grant is held, with reach own. Nobody owns rows of app.folders, app.kinds: there it is the tenant’s.',
    )
    const folders = await explain(['SELECT name FROM folders', '--json'])
    expect([folders.code, (JSON.parse(folders.out) as { values: string[] }).values]).toEqual([0, ['tenant']])
  })

  it('hides a column from the role, and from whoever has none', async () => {
    const [docs, ...others] = archive.tables
    const columns = { ...docs?.columns, body: { type: 'text', hidden: ['clerk'] } }
    const roles = { clerk: ['doc:read'], writer: ['doc:read'] }
    writeFileSync(join(directory, 'hidden.json'), JSON.stringify({ tables: [{ ...docs, columns }, ...others], roles }))
    const shows = async (...role: string[]): Promise<boolean> => {
      const args = ['explain', '--manifest', 'hidden.json', 'SELECT title FROM docs', ...role]
      return (await holdfast(args, {}, directory)).out.includes('"docs"."body"')
    }
    expect([await shows('--role', 'writer'), await shows('--role', 'clerk'), await shows()]).toEqual([
      true,
      false,
      false,
    ])
  })

  it('reads the project’s configuration where no manifest is named', async () => {
    const { code, out } = await holdfast(['explain', 'SELECT slug FROM teams', '--role', 'viewer'])
    expect([code, out]).toEqual([0, expect.stringContaining('"tenancy"."teams"')])
    const config = join(root, 'examples/invoices/holdfast.config.ts')
    for (const flag of ['--manifest', '--config']) {
      const hosted = await holdfast(['explain', 'SELECT number FROM invoices', '--role', 'owner', flag, config])
      expect([hosted.code, hosted.out]).toEqual([0, expect.stringContaining('"tenant_id"')])
    }
  })
})

describe('a refusal', () => {
  const carets: [what: string, text: string, meant: string][] = [
    ['on a line of several', 'SELECT 1,\n  passwd FROM pg_shadow\n  WHERE true', 'pg_shadow'],
    ['before a carriage return', 'SELECT passwd\r\nFROM pg_shadow\r\nWHERE true', 'pg_shadow'],
    ['after a tab', "SELECT\t'a',\tpasswd FROM pg_shadow", 'pg_shadow'],
    ['after wide letters', "SELECT '漢字かな한글', passwd FROM pg_shadow", 'pg_shadow'],
    ['after pictures', "SELECT '🦊👩‍👩‍👧', passwd FROM pg_shadow", 'pg_shadow'],
    ['after a combining mark', "SELECT 'e\u0301\u0327', passwd FROM pg_shadow", 'pg_shadow'],
    ['at the end', 'SELECT 1 FROM', ''],
    [
      'in a long line',
      `SELECT ${'1, '.repeat(500)} x FROM pg_shadow WHERE ${'true AND '.repeat(500)} true`,
      'pg_shadow',
    ],
  ]
  it.each(carets)('points at the place %s', async (_, text, meant) => {
    const { code, err, out } = await explain([text, '--role', 'clerk'])
    expect([code, out]).toEqual([1, ''])
    const [head = '', line = '', caret = '', hint = ''] = err.split('\n')
    expect(head).toMatch(/^Refused \((?:relation_unknown|syntax_error)\): /)
    expect(columns(line)).toBeLessThan(120)
    expect(afterColumns(line, caret.indexOf('^'))).toMatch(new RegExp(`^${meant}(?!\ufffd)`))
    expect(line).toMatch(new RegExp(`^  ${text.slice(0, text.indexOf(meant || ';')).split('\n').length} \\| `))
    if (meant !== '') expect(hint).toMatch(/^Hint: /)
  })

  it('never sends a terminal what moves its cursor or turns its letters', async () => {
    const text = "SELECT '\u202e\u009b2J', passwd\r\nFROM pg_shadow WHERE 'x\u202e' = '\u2066'"
    const refused = await explain([text, '--role', 'clerk'])
    const scoped = await explain(["SELECT '\u202e\u009b' AS x", '--role', 'clerk'])
    const file = excerpt("'\u001b]0;x\u0007\u001b[2J' '\u001b'", 9, 1, false).join('\n')
    for (const shown of [refused.err, scoped.out, file]) {
      expect(shown).toContain('\ufffd')
      expect(shown.replaceAll('\n', '')).not.toMatch(/\p{Cc}|\p{Cf}/u)
    }
    const exact = await explain(["SELECT '\u202e\u009b' AS x", '--role', 'clerk', '--json'])
    expect(JSON.parse(exact.out)).toMatchObject({ sql: "SELECT '\u202e\u009b' AS x" })
  })
})

describe('a file', () => {
  const write = (text: string | Uint8Array): string => {
    writeFileSync(join(directory, 'queries.sql'), text)
    return 'queries.sql'
  }

  it('is cut where PostgreSQL ends a statement', async () => {
    const file = write(
      [
        '\ufeff-- a comment; it ends nothing',
        'SELECT id FROM docs; SELECT \'a; b\', title AS ";" FROM docs /* ; */ ;',
        '',
        "SELECT $tag$ ; $tag$, E'\\'; ' ;;",
        '/* /* ; */ ; */ SELECT (1;2); SELECT id',
        'FROM docs -- the last has no semicolon',
      ].join('\n'),
    )
    const { code, out, err } = await explain(['--file', file, '--role', 'clerk', '--json'])
    const found = out.split('\n').map((line) => JSON.parse(line) as Verdict & { line: number })
    expect(found.map(({ line, verdict }) => [line, verdict])).toEqual([
      [2, 'scoped'],
      [2, 'scoped'],
      [4, 'scoped'],
      [5, 'refused'],
      [5, 'scoped'],
    ])
    expect(code).toBe(1)
    expect(err).toBe('queries.sql: 4 scoped, 1 refused.')
  })

  it('tells a refusal with its own line', async () => {
    const file = write('SELECT 1;\n\nSELECT id,\n  secret FROM\n    docs, pg_shadow;\n')
    const { err, out } = await explain(['--file', file, '--role', 'clerk'])
    expect(out).toMatch(/^queries\.sql:1: scoped\nSELECT 1\n/)
    expect(err).toMatch(/^queries\.sql:5:11: Refused \(relation_unknown\).*\n {2}5 \| {5}docs, pg_shadow\n/)
  })

  it('ends with a quotation that nobody closes, and hides nothing of what follows', async () => {
    const file = write(`SELECT 1;\n\n  SELECT 'open ; SELECT 2;\n${'SELECT 3;\n'.repeat(2_000)}`)
    const { code, out } = await explain(['--file', file, '--role', 'clerk', '--json'])
    const found = out.split('\n').map((line) => JSON.parse(line) as { line: number; verdict: string })
    expect([code, found.map(({ line, verdict }) => [line, verdict])]).toEqual([
      1,
      [
        [1, 'scoped'],
        [3, 'refused'],
      ],
    ])
  })

  it('may be long, with many semicolons in one literal', async () => {
    const file = write(`SELECT '${';'.repeat(20_000)}';\n${'SELECT id FROM docs;\n'.repeat(2_000)}`)
    const { code, err } = await explain(['--file', file, '--role', 'clerk', '--json'])
    expect([code, err]).toEqual([0, 'queries.sql: 2001 scoped, 0 refused.'])
  })

  it('without a statement is not taken for a good one in silence', async () => {
    const { code, err } = await explain(['--file', write(' -- nothing\n;;\n'), '--role', 'clerk'])
    expect([code, err]).toEqual([0, 'queries.sql: 0 scoped, 0 refused.'])
  })

  const unreadable: [what: string, content: Uint8Array | undefined, message: RegExp][] = [
    ['that is not there', undefined, /^nope\.sql cannot be read: ENOENT/],
    ['with a NUL, after which the grammar sees nothing', Buffer.from('SELECT 1\0; DROP TABLE docs'), /holds a NUL/],
    ['that is not UTF-8', Buffer.from([0x53, 0xff]), /is not UTF-8/],
    ['that is too long', Buffer.alloc(16_777_217, ' '), /longer than 16777216 bytes/],
  ]
  it.each(unreadable)('%s is wrong usage', async (_, content, message) => {
    const { code, err } = await explain(['--file', content === undefined ? 'nope.sql' : write(content)])
    expect([code, err]).toEqual([2, expect.stringMatching(message)])
  })
})

describe('lines of JSON', () => {
  const scoped = '{"sql": "SELECT id FROM docs", "role": "clerk"}'
  const large = `{"sql": "SELECT '${'x'.repeat(10_000_000)}'"}`
  const lines: [what: string, line: string | Uint8Array, code: string][] = [
    ['a statement', scoped, 'scoped'],
    ['with a carriage return', `${scoped}\r`, 'scoped'],
    ['with fields of the caller’s own', '{"sql": "SELECT 1", "file": "a.ts", "__proto__": {"role": 1}}', 'scoped'],
    ['empty', '', 'line_malformed'],
    ['blank', '  \t', 'line_malformed'],
    ['not JSON', 'SELECT 1', 'line_malformed'],
    ['half of it', '{"sql": "SELECT 1"', 'line_malformed'],
    ['a list', '["SELECT 1"]', 'line_malformed'],
    ['text', '"SELECT 1"', 'line_malformed'],
    ['null', 'null', 'line_malformed'],
    ['without sql', '{"role": "clerk"}', 'line_malformed'],
    ['sql of another type', '{"sql": ["SELECT 1"]}', 'line_malformed'],
    ['role of another type', '{"sql": "SELECT 1", "role": null}', 'line_malformed'],
    ['role of a list', '{"sql": "SELECT 1", "role": ["clerk"]}', 'line_malformed'],
    ['no such role', '{"sql": "SELECT 1", "role": "king"}', 'role_unknown'],
    ['a role of the prototype', '{"sql": "SELECT 1", "role": "__proto__"}', 'role_unknown'],
    ['a role without a name', '{"sql": "SELECT 1", "role": ""}', 'role_unknown'],
    ['a raw NUL', '{"sql": "SELECT 1\0; DROP TABLE docs"}', 'line_malformed'],
    ['an escaped NUL', String.raw`{"sql": "SELECT 1\u0000; DROP TABLE docs"}`, 'text_malformed'],
    ['a lone surrogate', String.raw`{"sql": "SELECT '\ud800'"}`, 'text_malformed'],
    ['bytes that are not UTF-8', Buffer.from('{"sql": "SELECT \'\xff\'"}', 'latin1'), 'text_malformed'],
    ['surrogates as bytes', Buffer.from('{"sql": "SELECT \'\xed\xa0\x80\'"}', 'latin1'), 'text_malformed'],
    ['a long statement', JSON.stringify({ sql: `SELECT '${'x'.repeat(40_000)}'` }), 'text_too_large'],
    ['ten megabytes', large, 'text_too_large'],
    ['brackets without end', '['.repeat(200_000), 'line_malformed'],
    ['an empty statement', '{"sql": ""}', 'syntax_error'],
    ['two statements', '{"sql": "SELECT 1; SELECT 2"}', 'not_one_statement'],
    ['the last', scoped, 'scoped'],
  ]

  it('are answered one by one, in order, whatever they are', async () => {
    const bytes = Buffer.concat(lines.flatMap(([, line]) => [Buffer.from(line as string), Buffer.from('\n')]))
    // cut at odd places, and once more without the last line feed
    for (const input of [bytes, bytes.subarray(0, -1)]) {
      const chunks = Array.from({ length: Math.ceil(input.length / 65_521) }, (_, index) =>
        input.subarray(index * 65_521, (index + 1) * 65_521),
      )
      const found = await answers(chunks)
      expect(found.map((answer) => ('code' in answer ? answer.code : answer.verdict))).toEqual(
        lines.map(([, , code]) => code),
      )
    }
  })

  it('have the fields that the page tells of', async () => {
    const malformed = String.raw`{"sql": "SELECT '\u0000'", "role": "clerk"}`
    const [yes, no, whole] = await answers([
      `${scoped}\n{"sql": "SELECT secret FROM pg_shadow", "role": "clerk"}\n${malformed}`,
    ])
    expect(whole).toMatchObject({ verdict: 'refused', code: 'text_malformed', position: null })
    expect(yes).toMatchObject({ verdict: 'scoped', values: ['tenant'], proof: expect.any(Array) as unknown })
    expect(no).toEqual({
      verdict: 'refused',
      code: 'relation_unknown',
      position: 19,
      message: 'The manifest has no such table.',
      hint: expect.any(String) as string,
    })
  })

  it('take the role of the flag where they name none', async () => {
    const sql = JSON.stringify({ sql: 'SELECT id FROM docs' })
    expect(await answers([sql], ['--role', 'clerk'])).toMatchObject([{ values: ['tenant'] }])
    expect(await answers([sql])).toMatchObject([{ values: ['tenant', 'user'] }])
  })

  it('say by the exit code whether one was refused', async () => {
    const code = async (input: string): Promise<number> => (await explain(['--jsonl'], [Buffer.from(input)])).code
    expect([await code(''), await code(`${scoped}\n`), await code(`${scoped}\n\n${scoped}`)]).toEqual([0, 0, 1])
  })

  it('are taken one by one while a reader is slow, also where a write does not block', async () => {
    let taken = 0
    let caughtUp = (): void => undefined
    const done = main(['explain', '--manifest', 'manifest.json', '--jsonl'], {
      out: () => undefined,
      err: () => undefined,
      async *input() {
        for (; taken < 4; taken++) yield Buffer.from(`${scoped}\n`)
      },
      drained: () => new Promise((resolve) => (caughtUp = resolve)),
      environment: {},
      directory,
      color: false,
    })
    for (let round = 0; round < 4; round++) {
      await expect.poll(() => taken).toBe(round)
      await new Promise((resolve) => setTimeout(resolve, 20))
      expect(taken).toBe(round)
      caughtUp()
    }
    expect(await done).toBe(0)
  })

  it('go on where the kernel fails: a fault is a refusal too', () => {
    const notes: string[] = []
    const broken = {
      manifest: archive,
      stats: { size: 0, hits: 0, misses: 0 },
      scope() {
        throw new TypeError('a fault')
      },
    }
    const judge = createJudge(broken, 'clerk', (line) => void notes.push(line))
    expect(judge({ sql: 'SELECT 1', role: undefined })).toMatchObject({ verdict: 'refused', code: 'kernel_failed' })
    expect(notes).toEqual([expect.stringContaining('a fault')])
  })
})

describe('as a process', () => {
  const started: ChildProcessWithoutNullStreams[] = []
  const start = (): ChildProcessWithoutNullStreams => {
    const args = [...command, '--manifest', 'manifest.json', '--jsonl']
    const child = spawn(process.execPath, args, { cwd: directory, env: { PATH: process.env['PATH'] } })
    started.push(child)
    return child
  }
  afterAll(() => {
    for (const child of started) if (child.exitCode === null) child.kill('SIGKILL')
  })
  const line = `${JSON.stringify({ sql: 'SELECT id FROM docs', role: 'clerk' })}\n`

  it('answers a line before the next is there, and ends quietly at Ctrl-C', async () => {
    const child = start()
    let err = ''
    child.stderr.on('data', (chunk: Buffer) => void (err += chunk.toString()))
    for (let round = 0; round < 2; round++) {
      child.stdin.write(line)
      const [chunk] = (await once(child.stdout, 'data')) as [Buffer]
      expect(JSON.parse(chunk.toString())).toMatchObject({ verdict: 'scoped' })
    }
    const ended = once(child, 'exit')
    child.kill('SIGINT')
    expect(await ended).toEqual([null, 'SIGINT'])
    expect(err).toBe('')
  })

  it('reads no faster than its answers are read, and loses none', async () => {
    const child = start()
    const block = line.repeat(500)
    let blocks = 0
    const deadline = performance.now() + 30_000
    // until what was written has not been taken for half a second
    for (let stalled = 0; stalled < 10 && blocks < 2_000 && performance.now() < deadline; ) {
      if (!child.stdin.writableNeedDrain) {
        child.stdin.write(block)
        blocks++
        stalled = 0
      } else stalled++
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    // without backpressure all of it would be inside by now: pipes and buffers hold far less
    expect(blocks * block.length).toBeLessThan(2_000_000)
    child.stdin.end()
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => void (output += chunk.toString()))
    await once(child, 'close')
    expect(output.split('\n').length - 1).toBe(blocks * 500)
  })

  it('ends quietly when nobody reads any more', () => {
    const run = `yes '${line.trim()}' | "$0" "$@" 2>errors | head -n 2; echo "\${PIPESTATUS[1]}"; cat errors`
    const args = ['-c', run, process.execPath, ...command, '--manifest', 'manifest.json', '--jsonl']
    const { stdout } = spawnSync('bash', args, { cwd: directory, encoding: 'utf8', timeout: 30_000 })
    const [first, second, ...rest] = stdout.split('\n')
    expect([first, second].map((answer) => (JSON.parse(String(answer)) as Verdict).verdict)).toEqual([
      'scoped',
      'scoped',
    ])
    expect(rest).toEqual(['0', ''])
  })

  it('needs no terminal, no project and no configuration', () => {
    const args = [...command, '--manifest', join(directory, 'manifest.json'), '--role', 'clerk', 'SELECT id FROM docz']
    const { status, stderr } = spawnSync(process.execPath, args, { cwd: '/', env: {}, encoding: 'utf8' })
    expect(status).toBe(1)
    expect(stderr).toContain('relation_unknown')
    expect(stderr).not.toContain('\u001b')
  })
})

describe('wrong usage', () => {
  const misuses: [args: string[], message: RegExp][] = [
    [['--file', 'a.sql', 'SELECT 1'], /Give one of these/],
    [['--file', 'a.sql', '--jsonl'], /Give one of these/],
    [['SELECT 1', '--jsonl'], /Give one of these/],
    [['SELECT 1', '--config', 'x.json'], /either --manifest or --config/],
    [['--jsonl', '--role', 'king'], /There is no role "king"\. There are: clerk, writer\./],
  ]
  it.each(misuses)('%j', async (args, message) => {
    const { code, err } = await explain(args)
    expect([code, err]).toEqual([2, expect.stringMatching(message)])
  })

  const manifests: [content: string, message: RegExp][] = [
    ['{"tables": [{}], "roles": {}}', /^bad\.json: manifest\/tables\/0/],
    ['{"tables": ', /bad\.json cannot be read/],
    ['[]', /bad\.json must export an object/],
    ['{"tabels": []}', /"tabels" in .*bad\.json is not known/],
  ]
  it.each(manifests)('a manifest %s', async (content, message) => {
    writeFileSync(join(directory, 'bad.json'), content)
    const { code, err } = await holdfast(['explain', '--manifest', 'bad.json', 'SELECT 1'], {}, directory)
    expect([code, err]).toEqual([2, expect.stringMatching(message)])
  })
})

/** Made again with: npx vitest run test/cli/explain.test.ts --update */
it('docs/explain.md shows what its commands print', async () => {
  const page = readFileSync(join(root, 'docs/explain.md'), 'utf8')
  const place = join(directory, 'page')
  for (const [name, language] of [
    ['manifest.json', 'json'],
    ['queries/invoices.sql', 'sql'],
  ] as const) {
    const [, content] = new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``).exec(page) ?? []
    mkdirSync(dirname(join(place, name)), { recursive: true })
    writeFileSync(join(place, name), String(content))
  }
  let commands = 0
  const printed = page.replaceAll(/```sh\n([\s\S]*?)```\n\n```text\n[\s\S]*?```/g, (_, script: string) => {
    commands++
    const real = script.replaceAll('npx holdfast explain', '"$0" "$@"')
    const { stdout, stderr } = spawnSync('bash', ['-c', real, process.execPath, ...command], {
      cwd: place,
      encoding: 'utf8',
    })
    return `\`\`\`sh\n${script}\`\`\`\n\n\`\`\`text\n${stdout}${stderr}\`\`\``
  })
  expect(commands).toBe(6)
  await expect(printed).toMatchFileSnapshot('../../docs/explain.md')
})

it('the check of docs/explain.md fails while one statement is refused', () => {
  const page = readFileSync(join(root, 'docs/explain.md'), 'utf8')
  const [, script = ''] = /```sh\n(for file[\s\S]*?)```/.exec(page) ?? []
  const place = join(directory, 'page')
  const real = script.replaceAll('npx holdfast explain', '"$0" "$@"')
  const run = (): number | null =>
    spawnSync('bash', ['-c', real, process.execPath, ...command], { cwd: place, stdio: 'ignore' }).status
  expect(run()).toBe(1)
  const queries = join(place, 'queries/invoices.sql')
  writeFileSync(queries, readFileSync(queries, 'utf8').replace('pg_sleep(10)', '10'))
  expect(run()).toBe(0)
})

/** Columns that a text takes on a terminal, by Node's own table. */
function columns(text: string): number {
  const measure = createInterface({ input: new PassThrough(), prompt: text })
  measure.close()
  return measure.getCursorPos().cols
}

/** What stands in a text from a column on. */
function afterColumns(text: string, column: number): string {
  const letters = Array.from(text)
  const index = letters.findIndex((_, count) => columns(letters.slice(0, count).join('')) >= column)
  return index === -1 ? '' : letters.slice(index).join('')
}

it('what a terminal might obey is shown and not sent', async () => {
  const hostile = 'a\u001b]0;x\u0007\u009b31m\u202eb'
  const file = join(mkdtempSync(join(tmpdir(), 'holdfast-explain-')), 'hostile.json')
  writeFileSync(file, JSON.stringify({ tables: [], roles: { [hostile]: [] } }))
  const refused = await holdfast(['explain', '--manifest', file, 'SELECT 1'])
  expect(refused.code).toBe(2)
  for (const unseen of ['\u001b', '\u0007', '\u009b', '\u202e']) expect(refused.err).not.toContain(unseen)
  const asked = await explain(["SELECT 'a\u009b31m\u202eb'", '--role', 'clerk', '--json'])
  expect(asked.out).not.toMatch(/[\u009b\u202e]/)
  expect((JSON.parse(asked.out) as Verdict).verdict).toBe('scoped')
  expect((JSON.parse(asked.out) as { sql: string }).sql).toContain('\u009b31m\u202eb')
})
