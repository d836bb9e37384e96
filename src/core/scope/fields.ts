import type { Column, Manifest, Table } from './manifest.ts'

/**
 * A manifest as each role sees it (ASVS 5.0 8.2.3, CWE-1220): hidden columns are not there at all, and `readOnly` is true
 * or absent. A role that is unknown sees no column that is hidden from any, and assigns none that is read-only to any.
 */
export class FieldViews {
  readonly #manifest: Manifest
  readonly #views = new Map<string | undefined, Manifest>()
  readonly #differ: boolean

  constructor(manifest: Manifest) {
    this.#manifest = manifest
    this.#differ = manifest.tables.some(({ columns }) =>
      Object.values(columns).some(({ hidden, readOnly }) => hidden !== undefined || Array.isArray(readOnly)),
    )
  }

  /** The role by which views differ: none where all roles see the same, and none for one that is unknown. */
  roleOf(role: string | undefined): string | undefined {
    return this.#differ && role !== undefined && Object.hasOwn(this.#manifest.roles, role) ? role : undefined
  }

  /** What a role of {@link roleOf} sees. */
  of(role: string | undefined): Manifest {
    const known = this.#views.get(role)
    if (known !== undefined) return known
    const view = this.#differ ? manifestFor(this.#manifest, role) : this.#manifest
    this.#views.set(role, view)
    return view
  }
}

/** The manifest as a role sees it. @param role undefined, or one of the manifest's */
export function manifestFor(manifest: Manifest, role: string | undefined): Manifest {
  return { ...manifest, tables: manifest.tables.map((table) => tableFor(table, role)) }
}

function tableFor(table: Table, role: string | undefined): Table {
  const concerns = (roles: readonly string[]): boolean => role === undefined || roles.includes(role)
  const columns: Record<string, Column> = {}
  for (const [name, { hidden, readOnly, ...column }] of Object.entries(table.columns)) {
    if (hidden !== undefined && concerns(hidden)) continue
    const isReadOnly = readOnly === true || (readOnly !== undefined && concerns(readOnly))
    columns[name] = isReadOnly ? { ...column, readOnly: true } : column
  }
  return { ...table, columns }
}
