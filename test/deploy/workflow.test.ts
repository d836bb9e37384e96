import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Type } from '@sinclair/typebox'
import { describe, expect, it } from 'vitest'
import { faults, filesBelow, read, readYaml, root } from './read.ts'

const closed = { additionalProperties: false }
const text = Type.String({ minLength: 1 })
const variables = Type.Record(Type.String({ pattern: '^[A-Z_]+$' }), text)
const step = Type.Union([
  Type.Object(
    {
      // a commit, which nobody can move; its tag stands beside it (CWE-829)
      uses: Type.String({ pattern: '^actions/(?:checkout|setup-node)@[0-9a-f]{40}$' }),
      with: Type.Union([
        Type.Object({ 'persist-credentials': Type.Literal(false) }, closed),
        Type.Object({ 'node-version': Type.Integer() }, closed),
      ]),
    },
    closed,
  ),
  Type.Object({ name: Type.Optional(text), env: Type.Optional(variables), run: text }, closed),
])
/** What our workflow uses of GitHub's syntax: no secrets, no more than reading, no pull_request_target (CWE-250). */
const workflowSchema = Type.Object(
  {
    name: text,
    on: Type.Object(
      {
        push: Type.Object({ branches: Type.Array(text) }, closed),
        pull_request: Type.Null(),
        schedule: Type.Array(Type.Object({ cron: Type.String({ pattern: '^(?:[\\d*]+ ){4}[\\d*]+$' }) }, closed)),
      },
      closed,
    ),
    permissions: Type.Object({ contents: Type.Literal('read') }, closed),
    concurrency: Type.Object({ group: text, 'cancel-in-progress': Type.Literal(true) }, closed),
    defaults: Type.Object({ run: Type.Object({ shell: Type.Literal('bash') }, closed) }, closed),
    jobs: Type.Record(
      Type.String(),
      Type.Object(
        {
          'runs-on': Type.Literal('ubuntu-24.04'),
          'timeout-minutes': Type.Integer({ maximum: 60 }),
          strategy: Type.Optional(
            Type.Object(
              {
                'fail-fast': Type.Literal(false),
                matrix: Type.Object({ version: Type.Array(Type.Union([text, Type.Integer()])) }, closed),
              },
              closed,
            ),
          ),
          services: Type.Optional(
            Type.Record(
              Type.String(),
              Type.Object(
                {
                  image: text,
                  env: variables,
                  ports: Type.Array(Type.String({ pattern: '^127\\.0\\.0\\.1:' })),
                  options: text,
                },
                closed,
              ),
            ),
          ),
          env: Type.Optional(variables),
          steps: Type.Array(step, { minItems: 1 }),
        },
        closed,
      ),
    ),
  },
  closed,
)

type Job = {
  strategy?: { matrix: { version: (string | number)[] } }
  env?: Record<string, string>
  steps: { uses?: string; run?: string; env?: Record<string, string> }[]
}
const file = '.github/workflows/suite.yml'
const [workflow] = readYaml(file) as [{ jobs: Record<string, Job> }]
const runs = Object.values(workflow.jobs).flatMap(({ steps }) =>
  steps.flatMap(({ run }) => (run === undefined ? [] : [run])),
)

describe(file, () => {
  it('is the only one, and what the schema allows', () => {
    expect(filesBelow('.github')).toEqual([file])
    expect(faults(workflowSchema, workflow)).toEqual([])
    const uses = [...read(file).matchAll(/uses: (\S+)(.*)$/gm)]
    expect(uses.length).toBe(6)
    for (const [, action, comment] of uses) expect(comment, action).toMatch(/^ # v\d+\.\d+\.\d+$/)
  })

  it('runs the whole suite on each database that is promised', () => {
    expect(
      Object.fromEntries(Object.entries(workflow.jobs).map(([name, { strategy }]) => [name, strategy?.matrix.version])),
    ).toEqual({
      embedded: undefined,
      postgresql: [15, 18],
      cockroachdb: ['latest-v25.4', 'latest'],
    })
    for (const { steps } of Object.values(workflow.jobs)) {
      expect(steps.map(({ run }) => run)).toContain('npm ci')
      expect(steps.at(-1)?.run).toMatch(/^npm (?:test|run test:suite)$/)
    }
  })

  it('names variables that the tests read, and scripts that there are', () => {
    const names = Object.values(workflow.jobs).flatMap(({ env = {} }) => Object.keys(env))
    const tests = ['test/backends.ts', 'test/postgres.ts'].map(read).join('')
    expect(names.length).toBeGreaterThan(3)
    for (const name of [...names, 'HOLDFAST_TEST_COCKROACH_URL']) expect(tests, name).toContain(name)
    expect(read('deploy/cockroach/start-single.sh')).toContain('HOLDFAST_TEST_COCKROACH_URL=')
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
    for (const run of runs) {
      const [, script] = /^npm (?:run )?(\S+)$/.exec(run) ?? []
      if (script === undefined) expect(existsSync(join(root, run.split(' ')[0] ?? '')), run).toBe(true)
      else expect([...Object.keys(scripts), 'ci']).toContain(script)
    }
  })

  it('has steps that bash can read', () => {
    for (const run of runs) execFileSync('bash', ['-n', '-c', run])
  })

  // the step that starts CockroachDB needs Docker and its image: it has not been run here
  it('its step that starts CockroachDB fails where it cannot, and leaves no address', () => {
    const step = runs.find((run) => run.includes('start-single.sh'))?.replace('>>"$GITHUB_ENV"', '')
    const { status, stdout } = spawnSync('bash', ['-eo', 'pipefail', '-c', String(step)], {
      cwd: root,
      encoding: 'utf8',
      env: { PATH: process.env['PATH'], IMAGE: 'none.invalid/cockroach:v0.0.0', DOCKER_HOST: 'unix:///nonexistent' },
    })
    expect([status === 0, stdout]).toEqual([false, ''])
  })
})
