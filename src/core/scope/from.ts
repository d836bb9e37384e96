import { type Struct, unwrap } from './grammar.ts'

/** The relations of an item of FROM, joins taken apart; not those of subqueries, nor of a join whose alias hides them. */
export function relationsOf(item: Struct): Struct[] {
  const [type, struct] = unwrap(item)
  if (type === 'RangeVar') return [struct]
  if (type !== 'JoinExpr' || struct['alias'] !== undefined) return []
  return [struct['larg'], struct['rarg']].flatMap((side) => relationsOf(side as Struct))
}

/** Whether a relation stands on a side of an outer join that may be empty. */
export function mayLack(item: Struct, relation: Struct): boolean {
  const [type, { jointype, larg, rarg }] = unwrap(item)
  if (type !== 'JoinExpr') return false
  const side = relationsOf(larg as Struct).includes(relation) ? larg : rarg
  if (!relationsOf(side as Struct).includes(relation)) return false
  const keeps = jointype === 'JOIN_INNER' || jointype === (side === larg ? 'JOIN_LEFT' : 'JOIN_RIGHT')
  return !keeps || mayLack(side as Struct, relation)
}
