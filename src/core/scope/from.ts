import { type Struct, unwrap } from './grammar.ts'

/** The relations of an item of FROM, joins taken apart; those of subqueries are not in it. */
export function relationsOf(item: Struct): Struct[] {
  const [type, struct] = unwrap(item)
  if (type === 'RangeVar') return [struct]
  return type === 'JoinExpr' ? [struct['larg'], struct['rarg']].flatMap((side) => relationsOf(side as Struct)) : []
}
