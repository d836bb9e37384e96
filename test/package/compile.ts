/**
 * Compiles `consumer.ts` against the packed package, as a stranger's project would: strict, and with the declarations of
 * the package themselves checked – all but those that name Drizzle's types, for Drizzle's own do not pass such a check:
 * they are compiled by a second consumer without it. Run by `npm run check:package`, after the build.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../', import.meta.url))
const directory = mkdtempSync(join(tmpdir(), 'holdfast-consumer-'))
try {
  const packed = execFileSync('npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', directory], {
    cwd: root,
    encoding: 'utf8',
  })
  const tarball = packed.trim().split('\n').at(-1) ?? ''
  const modules = join(directory, 'node_modules')
  mkdirSync(join(modules, 'holdfast'), { recursive: true })
  execFileSync('tar', ['-xzf', join(directory, tarball), '-C', join(modules, 'holdfast'), '--strip-components', '1'])
  for (const name of readdirSync(join(root, 'node_modules'))) {
    if (!name.startsWith('.') && name !== 'holdfast') symlinkSync(join(root, 'node_modules', name), join(modules, name))
  }
  writeFileSync(join(directory, 'package.json'), JSON.stringify({ name: 'consumer', type: 'module', private: true }))
  compile('consumer.ts', false, ['node_modules/holdfast/dist/drizzle.d.ts'])
  compile('drizzle-consumer.ts', true, ['node_modules'])
} finally {
  rmSync(directory, { recursive: true, force: true })
}

function compile(consumer: string, skipLibCheck: boolean, exclude: readonly string[]): void {
  copyFileSync(join(root, 'test/package', consumer), join(directory, consumer))
  const project = join(directory, `${consumer}.json`)
  writeFileSync(
    project,
    JSON.stringify({
      compilerOptions: {
        target: 'es2023',
        module: 'nodenext',
        moduleResolution: 'nodenext',
        strict: true,
        exactOptionalPropertyTypes: true,
        noUncheckedIndexedAccess: true,
        skipLibCheck,
        types: ['node'],
        noEmit: true,
      },
      include: [consumer, 'node_modules/holdfast/dist/**/*.d.ts'],
      exclude,
    }),
  )
  const { status, stdout, stderr } = spawnSync('npx', ['tsc', '-p', project], { cwd: root, encoding: 'utf8' })
  process.stdout.write(stdout + stderr)
  if (status !== 0) throw new Error('the packed package does not compile in a stranger’s project')
  console.log(`${consumer} compiles against the packed package`)
}
