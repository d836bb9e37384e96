/** A piece of the text that is ready, told apart from a value that is still to be written. */
type Piece = { readonly piece: string }

/**
 * A value as JSON with the names of each object in order (RFC 8785 section 3.2.3): what means the same has the same text.
 * It needs no stack of calls, for a body may be nested as deeply as it is long (CWE-674).
 *
 * @param value what a JSON parser gave; undefined is written as a word that no JSON has
 */
export function canonicalJson(value: unknown): string {
  const open: (Piece | { readonly value: unknown })[] = [{ value }]
  let text = ''
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if ('piece' in next) text += next.piece
    else if (typeof next.value !== 'object' || next.value === null) text += JSON.stringify(next.value) ?? 'undefined'
    else open.push(...partsOf(next.value))
  }
  return text
}

/** An object's or a list's pieces and values, the last one first. */
function* partsOf(value: object): Generator<Piece | { readonly value: unknown }> {
  const isList = Array.isArray(value)
  const entries = Object.entries(value)
  if (!isList) entries.sort(([one], [other]) => (one < other ? 1 : -1))
  else entries.reverse()
  yield { piece: isList ? ']' : '}' }
  for (const [index, [name, child]] of entries.entries()) {
    yield { value: child }
    const comma = index === entries.length - 1 ? '' : ','
    yield { piece: isList ? comma : `${comma}${JSON.stringify(name)}:` }
  }
  yield { piece: isList ? '[' : '{' }
}
