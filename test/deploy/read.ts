import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { parseAllDocuments } from 'yaml'

export const root = fileURLToPath(new URL('../../', import.meta.url))

export const read = (path: string): string => readFileSync(join(root, path), 'utf8')

/** All documents of a YAML file, anchors and merges followed. @throws Error for whatever is not sound YAML */
export function readYaml(path: string): unknown[] {
  return parseAllDocuments(read(path), { merge: true, uniqueKeys: true }).map((document) => {
    if (document.errors.length > 0 || document.warnings.length > 0) {
      throw new Error(`${path}: ${[...document.errors, ...document.warnings].join('; ')}`)
    }
    return document.toJS() as unknown
  })
}

/** What of a value does not fit a schema, as `path: message`; `[]` when all does. */
export function faults(schema: TSchema, value: unknown): string[] {
  return [...Value.Errors(schema, value)].map(({ path, message }) => `${path}: ${message}`)
}

/** Paths of all files below a folder of the project. */
export function filesBelow(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length))
}

/** An image with an exact tag: a version with its patch, and nothing that moves (CWE-1357). */
export const EXACT_IMAGE = /^[a-z0-9./-]+:v?\d+\.\d+\.\d+(?:-[a-z0-9.]+)*$|^postgres:\d+\.\d+-[a-z]+$/
