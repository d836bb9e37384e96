import { listOf, loadKernel, parseText, type Struct, stringsOf, unwrap } from '../scope/grammar.ts'

/** Something in the catalog by which it is seen whether a statement was applied. */
export type Trace = {
  readonly kind: 'schema' | 'relation' | 'index' | 'column' | 'constraint' | 'policy' | 'type'
  readonly schema: string
  /** The table that it belongs to; of a relation, or a type, itself; nothing of a schema. */
  readonly table: string
  /** Of an index, a column, a constraint, a policy. */
  readonly name: string
  /** Columns of a key, in order, where the statement names them. */
  readonly columns?: readonly string[]
  /** Is it there once the statement was applied, or gone? */
  readonly after: 'present' | 'absent'
}

/**
 * What is known of a statement where DDL commits by itself:
 * - `data`: reads and writes rows, and so runs in a transaction on both databases;
 * - `repeatable`: may be run twice with the effect of once;
 * - `traced`: the catalog tells whether it was applied;
 * - `colliding`: run twice, it is refused because its work is there already;
 * - `opaque`: none of these.
 */
export type Effect =
  | { readonly kind: 'data' | 'repeatable' | 'colliding' | 'opaque' }
  | { readonly kind: 'traced'; readonly traces: readonly Trace[] }

const OPAQUE: Effect = { kind: 'opaque' }
const REPEATABLE: Effect = { kind: 'repeatable' }

/** What a statement does, by PostgreSQL's grammar; what that cannot read – CockroachDB's own forms – is `opaque`. */
export async function effectOf(text: string): Promise<Effect> {
  await loadKernel()
  let statements: readonly Struct[]
  try {
    statements = parseText(text)
  } catch {
    return OPAQUE
  }
  const [statement, ...more] = statements
  if (statement === undefined || more.length > 0) return OPAQUE
  const [type, node] = unwrap(statement)
  return readers[type]?.(node) ?? OPAQUE
}

const repeatable = (): Effect => REPEATABLE
const data = (): Effect => ({ kind: 'data' })
const unless = (isSafe: boolean, effect: Effect): Effect => (isSafe ? REPEATABLE : effect)
const text = (value: unknown): string => (typeof value === 'string' ? value : '')

const readers: Readonly<Record<string, (node: Struct) => Effect>> = {
  SelectStmt: data,
  InsertStmt: data,
  UpdateStmt: data,
  DeleteStmt: data,
  GrantStmt: repeatable,
  GrantRoleStmt: repeatable,
  AlterDefaultPrivilegesStmt: repeatable,
  AlterOwnerStmt: repeatable,
  CommentStmt: repeatable,
  AlterPolicyStmt: repeatable,
  CreateSchemaStmt: (node) =>
    unless(
      node['if_not_exists'] === true,
      traced([{ kind: 'schema', schema: text(node['schemaname']), table: '', name: '', after: 'present' }]),
    ),
  CreateStmt: (node) => unless(node['if_not_exists'] === true, ofRelation(node['relation'])),
  CreateSeqStmt: (node) => unless(node['if_not_exists'] === true, ofRelation(node['sequence'])),
  ViewStmt: (node) => unless(node['replace'] === true, ofRelation(node['view'])),
  IndexStmt: (node) => unless(node['if_not_exists'] === true, ofMember('index', node['relation'], node['idxname'])),
  CreatePolicyStmt: (node) => ofMember('policy', node['table'], node['policy_name']),
  CreateEnumStmt: (node) => ofName('type', stringsOf(node['typeName'])),
  CreateFunctionStmt: (node) => unless(node['replace'] === true, { kind: 'colliding' }),
  CreateTrigStmt: (node) => unless(node['replace'] === true, { kind: 'colliding' }),
  AlterTableStmt: ofAlterTable,
  DropStmt: (node) => (node['missing_ok'] === true ? REPEATABLE : { kind: 'colliding' }),
}

function traced(traces: readonly Trace[]): Effect {
  // an unqualified name is nobody's: the search path is empty
  return traces.length > 0 && traces.every(({ schema }) => schema !== '') ? { kind: 'traced', traces } : OPAQUE
}

function nameOf(relation: unknown): { readonly schema: string; readonly table: string } {
  const { schemaname, relname } = (relation ?? {}) as Struct
  return { schema: text(schemaname), table: text(relname) }
}

function ofRelation(relation: unknown): Effect {
  return traced([{ kind: 'relation', ...nameOf(relation), name: '', after: 'present' }])
}

function ofName(kind: 'type', parts: readonly (string | undefined)[]): Effect {
  const [schema = '', table = ''] = parts.length === 2 ? parts : []
  return traced([{ kind, schema, table, name: '', after: 'present' }])
}

function ofMember(kind: 'index' | 'policy', relation: unknown, name: unknown): Effect {
  return text(name) === '' ? OPAQUE : traced([{ kind, ...nameOf(relation), name: text(name), after: 'present' }])
}

/** Parts of ALTER TABLE that say how something is to be, whatever it was. */
const SETTLED: ReadonlySet<unknown> = new Set([
  'AT_EnableRowSecurity',
  'AT_DisableRowSecurity',
  'AT_ForceRowSecurity',
  'AT_NoForceRowSecurity',
  'AT_SetNotNull',
  'AT_DropNotNull',
  'AT_ColumnDefault',
  'AT_ChangeOwner',
  'AT_SetRelOptions',
  'AT_ResetRelOptions',
  'AT_ValidateConstraint',
])

function ofAlterTable(node: Struct): Effect {
  if (node['objtype'] !== undefined && node['objtype'] !== 'OBJECT_TABLE') return OPAQUE
  const place = nameOf(node['relation'])
  const traces: Trace[] = []
  for (const command of listOf(node['cmds']).map((each) => unwrap(each)[1])) {
    if (SETTLED.has(command['subtype']) || command['missing_ok'] === true) continue
    const trace = traceOf(place, command)
    if (trace === undefined) return OPAQUE
    traces.push(trace)
  }
  // a key that is dropped and made anew under one name is known by its columns
  const remade = new Set(traces.filter(({ after }) => after === 'present').map(({ name }) => name))
  const telling = traces.filter(({ after, name }) => after === 'present' || !remade.has(name))
  return telling.length === 0 ? REPEATABLE : traced(telling)
}

function traceOf(place: { schema: string; table: string }, { subtype, name, def }: Struct): Trace | undefined {
  if (subtype === 'AT_DropColumn') return { kind: 'column', ...place, name: text(name), after: 'absent' }
  if (subtype === 'AT_DropConstraint') return { kind: 'constraint', ...place, name: text(name), after: 'absent' }
  if (subtype === 'AT_AddColumn') {
    const column = (def as Struct)['ColumnDef'] as Struct
    return { kind: 'column', ...place, name: text(column['colname']), after: 'present' }
  }
  if (subtype !== 'AT_AddConstraint') return undefined
  const constraint = (def as Struct)['Constraint'] as Struct
  const columns = stringsOf(constraint['keys'] ?? constraint['fk_attrs']).map(text)
  if (text(constraint['conname']) === '') return undefined
  const named = { kind: 'constraint', ...place, name: text(constraint['conname']), after: 'present' } as const
  return columns.length === 0 ? named : { ...named, columns }
}
