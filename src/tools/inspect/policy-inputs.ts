import { listOf, parseText, type Struct, stringsOf, unwrap } from '../../core/scope/grammar.ts'

/** What an expression of a policy can depend on: nothing but the tenant column, the tenant setting and these constants. */
export type PolicyInputs = { readonly constants: readonly string[] }
/** Why an expression cannot be judged. */
export type Unjudged = { readonly because: string }

/** The setting that says whose rows a transaction sees. */
export const TENANT_SETTING = 'holdfast.tenant_id'

/** CockroachDB writes `:::TYPE` where a constant has a type; outside quotes it is a cast like any other. */
const ANNOTATION = /('(?:[^']|'')*'|"(?:[^"]|"")*")|:::/g
/** Types whose values are equal exactly when they are the same: nothing is cut, rounded or folded by a cast to them. */
const FAITHFUL = new Set(['text', 'varchar', 'uuid', 'int8', 'bool', 'string', 'bigint'])

/**
 * Which inputs has an expression? Built of equality, AND, OR, NOT, CASE and the like over two inputs and some constants, it
 * tells values apart by equality alone: so what it does with two fresh tenants, NULL and those constants, it does with all
 * values. Whatever else it looks at – another column, a table, a function, another setting, the role, the clock – may be
 * otherwise tomorrow, and no trial today proves anything.
 */
export function inputsOf(expression: string, tenant: string): PolicyInputs | Unjudged {
  const constants: string[] = []
  try {
    const text = expression.replaceAll(ANNOTATION, (whole: string, quotedText?: string) =>
      quotedText === undefined ? '::' : whole,
    )
    const [statement, ...more] = parseText(`SELECT ${text}`)
    const [type, select] = unwrap(statement)
    const target = soleTarget(type, select)
    if (more.length > 0 || target === undefined) return { because: 'is no single expression' }
    walk(target, tenant, constants)
    return { constants }
  } catch (error) {
    if (error instanceof Other) return { because: error.message }
    return { because: 'is written in a way that is not understood' }
  }
}

/** An input or operation beyond those that are decided. */
class Other extends Error {}

function soleTarget(type: string, select: Struct): unknown {
  const { targetList, limitOption: _limit, op: _op, ...rest } = select
  const [target, ...more] = listOf(targetList)
  if (type !== 'SelectStmt' || target === undefined || more.length > 0 || Object.keys(rest).length > 0) return undefined
  return (target['ResTarget'] as Struct | undefined)?.['val']
}

function walk(node: unknown, tenant: string, constants: string[]): void {
  const [type, struct] = unwrap(node)
  const into = (...inner: unknown[]): void => {
    for (const each of inner) if (each !== undefined) walk(each, tenant, constants)
  }
  const each = (list: unknown): void => into(...listOf(list))
  switch (type) {
    case 'ColumnRef':
      return assertTenant(stringsOf(struct['fields']), tenant)
    case 'A_Const':
      return keep(struct, constants)
    case 'TypeCast':
      assertFaithful(struct['typeName'] as Struct)
      return into(struct['arg'])
    case 'BoolExpr':
    case 'CoalesceExpr':
      return each(struct['args'])
    case 'NullTest':
    case 'BooleanTest':
      return into(struct['arg'])
    case 'A_Expr':
      assertEquality(struct)
      return into(struct['lexpr'], struct['rexpr'])
    case 'A_ArrayExpr':
      return each(struct['elements'])
    case 'List':
      return each(struct['items'])
    case 'CaseExpr':
      each(struct['args'])
      return into(struct['arg'], struct['defresult'])
    case 'CaseWhen':
      return into(struct['expr'], struct['result'])
    case 'FuncCall':
      return assertSetting(struct)
    case 'SubLink':
      return walk(scalarOf(struct), tenant, constants)
    default:
      throw new Other('uses what cannot be tried out')
  }
}

function assertTenant(fields: readonly (string | undefined)[], tenant: string): void {
  if (fields.length === 1 && fields[0] === tenant) return
  throw new Other(`looks at ${fields.map((field) => field ?? 'the whole row').join('.')}, not only at ${tenant}`)
}

function keep(constant: Struct, constants: string[]): void {
  const { sval, ival, fval } = constant as {
    sval?: { sval?: string }
    ival?: { ival?: number }
    fval?: { fval?: string }
  }
  if (sval !== undefined) constants.push(sval.sval ?? '')
  else if (ival !== undefined) constants.push(String(ival.ival ?? 0))
  else if (fval !== undefined) constants.push(String(fval.fval))
}

function assertFaithful({ names, typmods }: Struct): void {
  const [last, ...before] = stringsOf(names).reverse()
  const isOwn = before.every((name) => name === 'pg_catalog')
  if (isOwn && FAITHFUL.has(last ?? '') && listOf(typmods).length === 0) return
  throw new Other(`casts to ${last}`)
}

const EQUALITY_KINDS = new Set([
  'AEXPR_OP',
  'AEXPR_OP_ANY',
  'AEXPR_DISTINCT',
  'AEXPR_NOT_DISTINCT',
  'AEXPR_NULLIF',
  'AEXPR_IN',
])

function assertEquality({ kind, name }: Struct): void {
  const [operator, ...before] = stringsOf(name).reverse()
  const isOwn = before.every((schema) => schema === 'pg_catalog')
  if (isOwn && EQUALITY_KINDS.has(String(kind)) && (operator === '=' || operator === '<>')) return
  throw new Other(`compares by ${operator}`)
}

/** `current_setting` of the tenant's setting, and no other. */
function assertSetting({ funcname, args }: Struct): void {
  const name = stringsOf(funcname).filter((part) => part !== 'pg_catalog')
  if (name.length !== 1 || name[0] !== 'current_setting') throw new Other(`calls ${name.join('.')}`)
  const [setting] = listOf(args)
  const constants: string[] = []
  if (setting !== undefined) walk(setting, '', constants)
  // names of settings are known whatever their case
  if (constants.length === 1 && constants[0]?.toLowerCase() === TENANT_SETTING) return
  throw new Other(`reads the setting ${constants[0] ?? 'of a name that is computed'}`)
}

/** `(SELECT expression)`: PostgreSQL then reads the setting once a statement. */
function scalarOf({ subLinkType, subselect, testexpr }: Struct): unknown {
  const [type, select] = unwrap(subselect)
  const target = subLinkType === 'EXPR_SUBLINK' && testexpr === undefined ? soleTarget(type, select) : undefined
  if (target === undefined) throw new Other('looks into another table')
  return target
}
