import type { Query } from '../../core/database/statement.ts'
import type { Evidence, PolicyRow, Reader } from './catalog.ts'
import { type Expected, type ExpectedTable, keyOf, type ServingRole, servingRoles } from './expected.ts'
import { literal, quoted } from './identifier.ts'
import { inputsOf, TENANT_SETTING } from './policy-inputs.ts'

/** What is wrong with what a table's policies do. */
export type PolicyVerdict = {
  readonly table: ExpectedTable
  readonly problem: 'leaks' | 'hides' | 'unproven' | 'shape' | 'other-role'
  /** Said of the table: `shows another tenant's rows to …`. */
  readonly what: string
  /** Policies that stand in the way. */
  readonly policies: readonly string[]
}

/** A setting that nothing ever sets. */
const NEVER_SET = 'holdfast.never_set'
const SETTING_LITERAL = /'holdfast\.tenant_id'/gi

type Verb = 'SELECT' | 'INSERT' | 'UPDATE' | 'DELETE'
/** One judgement that the database makes of a row: which rows a verb finds, or which it may leave behind. */
type Gate = {
  readonly role: ServingRole
  readonly verb: Verb
  readonly side: 'using' | 'check'
  readonly expression: string
}
/** An expression over one tenant column, and what it must be tried with. */
type Trial = {
  readonly expression: string
  readonly tenant: string
  readonly type: string
  readonly constants: readonly string[]
}
type Outcome = { readonly leaks: string | undefined; readonly hides: string | undefined }

const GATES: readonly { verb: Verb; side: Gate['side'] }[] = [
  { verb: 'SELECT', side: 'using' },
  { verb: 'INSERT', side: 'check' },
  { verb: 'UPDATE', side: 'using' },
  { verb: 'UPDATE', side: 'check' },
  { verb: 'DELETE', side: 'using' },
]

/** Two tenants that nobody is. */
const FRESH: Readonly<Record<string, readonly [string, string]>> = {
  uuid: ['a3e1f0c2-0000-4000-8000-00000000000a', 'a3e1f0c2-0000-4000-8000-00000000000b'],
  text: ['a3e1f0c2-0000-4000-8000-00000000000a', 'a3e1f0c2-0000-4000-8000-00000000000b'],
  int8: ['9007199254740771', '9007199254740772'],
}
const VALUE_OF: Readonly<Record<string, RegExp>> = {
  uuid: /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i,
  text: /^[^\0]*$/,
  int8: /^-?\d{1,18}$/,
}

/**
 * Judges each confined table's policies by what they do: the database itself computes their expressions, as the app role,
 * over rows of two tenants, of none, and of every constant that they name, under each of these as the setting.
 * `policy-inputs.ts` says why that decides it.
 */
export async function judgePolicies(
  reader: Reader,
  expected: Expected,
  { policies = [], relations = [] }: Partial<Evidence>,
): Promise<PolicyVerdict[]> {
  const verdicts: PolicyVerdict[] = []
  const open: { table: ExpectedTable; own: PolicyRow[]; gates: Gate[]; trials: Map<string, Trial> }[] = []
  for (const table of expected.tables.values()) {
    const found = relations.find((row) => keyOf(row) === keyOf(table))
    if (table.kind !== 'tenant' || table.isView || !['r', 'p'].includes(found?.kind ?? '')) continue
    const all = policies.filter((policy) => keyOf(policy) === keyOf(table))
    const bears = (role: ServingRole) => (policy: PolicyRow) =>
      policy.roles.some((one) => one === 'public' || one === role)
    const own = all.filter((policy) => servingRoles.some((role) => bears(role)(policy)))
    verdicts.push(
      ...otherRoles(
        table,
        all.filter((policy) => !own.includes(policy)),
      ),
    )
    const gates = servingRoles.flatMap((role) =>
      GATES.map((gate): Gate => ({ ...gate, role, expression: gateOf(own.filter(bears(role)), gate.verb, gate.side) })),
    )
    const trials = trialsOf(table, own, gates)
    if ('problem' in trials) verdicts.push(trials)
    else open.push({ table, own, gates, trials })
  }
  const outcomes = await tryOut(
    reader,
    new Map(open.flatMap(({ trials }) => [...trials.values()].map((trial) => [idOf(trial), trial]))),
  )
  for (const { table, own, gates, trials } of open) {
    const judged = gates.map((gate) => ({
      gate,
      ...(outcomes.get(idOf(trials.get(gate.expression) as Trial)) as Outcome),
    }))
    verdicts.push(...verdictsOf(table, own, judged))
  }
  return verdicts
}

/** The whole condition of one gate, permissive ones by OR, restrictive ones by AND; no policy: nothing passes. */
function gateOf(policies: readonly PolicyRow[], verb: Verb, side: Gate['side']): string {
  const expressions = (kind: string): string[] =>
    policies
      .filter(({ permissive, command }) => permissive === kind && [verb, 'ALL', '*'].includes(command.toUpperCase()))
      // a policy with neither denies
      .map(({ using, check }) => (side === 'using' ? using : (check ?? using)) ?? 'false')
      .map((text) => `COALESCE((${text}), false)`)
  const permissive = expressions('permissive')
  return [permissive.length === 0 ? 'false' : `(${permissive.join(' OR ')})`, ...expressions('restrictive')].join(
    ' AND ',
  )
}

function trialsOf(
  table: ExpectedTable,
  own: readonly PolicyRow[],
  gates: readonly Gate[],
): Map<string, Trial> | PolicyVerdict {
  const tenant = table.tenant as string
  const type = table.columns[tenant]?.type ?? 'uuid'
  const constants = new Set<string>()
  for (const { policy, using, check } of own) {
    for (const expression of [using, check]) {
      if (expression === null) continue
      const inputs = inputsOf(expression, tenant)
      if ('because' in inputs) {
        const what = `has the policy ${policy}, which ${inputs.because}: that it confines to the tenant cannot be shown`
        return { table, problem: 'unproven', what, policies: own.map((each) => each.policy) }
      }
      for (const constant of inputs.constants) constants.add(constant)
    }
  }
  const trial = (expression: string): Trial => ({ expression, tenant, type, constants: [...constants] })
  return new Map(gates.map(({ expression }) => [expression, trial(expression)]))
}

const idOf = ({ expression, tenant, type }: Trial): string => JSON.stringify([expression, tenant, type])

/** Tries each distinct expression once: tables with the same policy cost no more than one. */
async function tryOut(reader: Reader, trials: ReadonlyMap<string, Trial>): Promise<Map<string, Outcome>> {
  if (trials.size === 0) return new Map()
  const all = [...trials.values()]
  const settings = [...new Set(all.flatMap((trial) => settingsOf(trial)))]
  const answers = await passing(reader, all, settings)
  return new Map(all.map((trial, index) => [idOf(trial), outcomeOf(trial, settings, answers[index] ?? new Map())]))
}

/** What the setting is tried as: a text, '' as an ended transaction leaves it, or never set at all. */
type Tried = string | undefined
/** By setting: the tenants whose rows pass, '' for the row that has none; or that the expression failed. */
type Passing = Map<Tried, ReadonlySet<string> | 'failed'>

async function passing(reader: Reader, trials: readonly Trial[], settings: readonly Tried[]): Promise<Passing[]> {
  try {
    return await passingAtOnce(reader, trials, settings)
  } catch {
    // One of them fails for one of the settings, as a cast may: each is then asked for itself.
    const found: Passing[] = []
    for (const trial of trials) {
      const own: Passing = new Map()
      for (const setting of settings) {
        const answer = await passingAtOnce(reader, [trial], [setting]).catch(() => undefined)
        own.set(setting, answer?.[0]?.get(setting) ?? 'failed')
      }
      found.push(own)
    }
    return found
  }
}

async function passingAtOnce(reader: Reader, trials: readonly Trial[], settings: readonly Tried[]): Promise<Passing[]> {
  const queries = settings.flatMap((setting): Query[] => [
    {
      statement: { name: '', text: `SELECT pg_catalog.set_config('${TENANT_SETTING}', $1::TEXT, true)` },
      values: [setting ?? ''],
    },
    {
      statement: { name: '', text: trials.map((trial, index) => trialText(trial, index, setting)).join(' UNION ALL ') },
      values: [],
    },
  ])
  const answers = await reader.read(queries)
  return trials.map((_trial, index) => {
    const rows = (number: number) => (answers[2 * number + 1] ?? []).filter((row) => Number(row['trial']) === index)
    return new Map(
      settings.map((setting, number) => [
        setting,
        new Set(rows(number).map((row) => (row['tenant'] as string | null) ?? '')),
      ]),
    )
  })
}

/** Rows of one column alone, under a name that no policy knows: an expression cannot look at anything else. */
function trialText({ expression, tenant, type, constants }: Trial, index: number, setting: Tried): string {
  const rows = [...tenantsOf({ type, constants }).map((value) => literal(value)), 'NULL']
  const values = rows.map((value) => `(${value}::TEXT)`).join(', ')
  const column = quoted(tenant)
  // a session that had the setting once never loses it again: for one that never had it, another name stands
  const tried = setting === undefined ? expression.replaceAll(SETTING_LITERAL, `'${NEVER_SET}'`) : expression
  return `SELECT ${index}::INT8 AS trial, holdfast_probe.${column}::TEXT AS tenant FROM (SELECT v.t::${type.toUpperCase()} AS ${column} FROM (VALUES ${values}) AS v(t)) AS holdfast_probe WHERE ${tried}`
}

function tenantsOf({ type, constants }: Pick<Trial, 'type' | 'constants'>): string[] {
  const fits = VALUE_OF[type] as RegExp
  return [
    ...new Set([...(FRESH[type] ?? []), ...constants.filter((constant) => constant !== '' && fits.test(constant))]),
  ]
}

function settingsOf(trial: Trial): Tried[] {
  return [undefined, '', ...tenantsOf(trial)]
}

function outcomeOf(trial: Trial, settings: readonly Tried[], answers: Passing): Outcome {
  let leaks: string | undefined
  let hides: string | undefined
  const tenants = tenantsOf(trial)
  // a UUID is the same in capitals
  const fold = (text: string): string => (trial.type === 'uuid' ? text.toLowerCase() : text)
  for (const setting of settings) {
    const passed = answers.get(setting) ?? 'failed'
    const seen = passed === 'failed' ? new Set<string>() : passed
    const isSame = (tenant: string): boolean => setting !== undefined && tenant !== '' && fold(tenant) === fold(setting)
    const foreign = [...seen].find((tenant) => !isSame(tenant))
    if (foreign !== undefined)
      leaks ??= `${foreign === '' ? 'of no tenant' : 'of another tenant'}${setting === undefined || setting === '' ? ' where no tenant is set' : ''}`
    if (setting !== undefined && tenants.includes(setting) && ![...seen].some(isSame))
      hides ??= passed === 'failed' ? 'it fails' : 'no row passes'
  }
  return { leaks, hides }
}

type Judged = { readonly gate: Gate } & Outcome

function verdictsOf(table: ExpectedTable, own: readonly PolicyRow[], judged: readonly Judged[]): PolicyVerdict[] {
  const policies = own.map(({ policy }) => policy)
  const leaks = judged.filter((one) => one.leaks !== undefined)
  const hides = judged.filter((one) => one.hides !== undefined)
  if (leaks.length > 0) {
    return [{ table, problem: 'leaks', what: `lets ${verbsOf(leaks)} reach rows ${leaks[0]?.leaks}`, policies }]
  }
  if (own.length === 0)
    return [{ table, problem: 'hides', what: 'has no policy that bears on the roles that serve', policies }]
  if (hides.length > 0) {
    return [{ table, problem: 'hides', what: `keeps a tenant's own rows from ${verbsOf(hides)}`, policies }]
  }
  const [only, ...more] = own
  const isOne =
    more.length === 0 && ['ALL', '*'].includes(only?.command.toUpperCase() ?? '') && only?.roles.includes('public')
  if (isOne) return []
  return [
    {
      table,
      problem: 'shape',
      what: `is confined by ${own.length === 1 ? 'a policy' : `${own.length} policies`} other than one FOR ALL TO PUBLIC`,
      policies,
    },
  ]
}

function verbsOf(judged: readonly Judged[]): string {
  const verbs = [...new Set(judged.map(({ gate }) => gate.verb))].join(', ')
  const roles = [...new Set(judged.map(({ gate }) => gate.role))]
  return roles.length === servingRoles.length ? verbs : `${verbs} by ${roles[0]}`
}

/** *Enter* judges a caller before a tenant is set: its policies on Holdfast's own tables are meant. */
function otherRoles(table: ExpectedTable, foreign: readonly PolicyRow[]): PolicyVerdict[] {
  const strange = foreign.filter(
    ({ roles }) => table.schema !== 'holdfast' || roles.some((role) => role !== 'holdfast_enter'),
  )
  return strange.map(({ policy, roles }) => ({
    table,
    problem: 'other-role',
    what: `has the policy ${policy} for ${roles.join(', ')}`,
    policies: [policy],
  }))
}
