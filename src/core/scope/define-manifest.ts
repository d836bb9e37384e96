import { type Manifest, parseManifest } from './manifest.ts'

/**
 * Checks a manifest, and keeps its names for the types: which tables, columns and permissions there are.
 * @throws ManifestError `manifest_invalid`
 * @example
 * const manifest = defineManifest({
 *   tables: [{ schema: 'app', name: 'invoices', resource: 'invoice', tenant: 'tenant_id',
 *     columns: { tenant_id: { type: 'uuid', notNull: true }, id: { type: 'uuid', notNull: true } } }],
 *   roles: { owner: ['invoice:read', 'invoice:create'], clerk: ['invoice:read@own'] },
 * })
 */
export function defineManifest<const M extends Manifest>(manifest: M): M {
  return parseManifest(manifest) as M
}

/** Every permission that some role of a manifest grants, whatever its reach; `string` where the roles are not literal. */
export type PermissionOf<M extends Manifest> = WithoutReach<M['roles'][keyof M['roles']][number]>

type WithoutReach<Grant extends string> = Grant extends `${infer Permission}@own` ? Permission : Grant

/** Name of a table of a manifest. */
export type TableName<M extends Manifest> = M['tables'][number]['name']

/**
 * A whole row of a table, as statements return it: `int8` and `numeric` are strings, for they pass what a number holds;
 * a column may be null unless the manifest says `notNull`.
 * @example type Invoice = RowOf<typeof manifest, 'invoices'>
 */
export type RowOf<M extends Manifest, Name extends TableName<M>> = Row<
  Extract<M['tables'][number], { readonly name: Name }>['columns']
>

type Row<Columns> = {
  [Column in keyof Columns]: Columns[Column] extends { readonly type: infer Type; readonly notNull: true }
    ? ValueOf<Type>
    : Columns[Column] extends { readonly type: infer Type }
      ? ValueOf<Type> | null
      : never
}

/** What `pg` makes of a value of this type; a type that is not here is `unknown`, and worth a look. */
type ValueOf<Type> = Type extends keyof Values
  ? Values[Type]
  : Type extends `_${infer Element}`
    ? (ValueOf<Element> | null)[]
    : unknown

type Values = {
  readonly bool: boolean
  readonly int2: number
  readonly int4: number
  readonly float4: number
  readonly float8: number
  readonly int8: string
  readonly numeric: string
  /** its elements alone are read as numbers */
  readonly _numeric: (number | null)[]
  readonly uuid: string
  readonly text: string
  readonly varchar: string
  readonly bpchar: string
  readonly time: string
  readonly inet: string
  readonly date: Date
  readonly timestamp: Date
  readonly timestamptz: Date
  readonly bytea: Buffer
  readonly json: unknown
  readonly jsonb: unknown
}
