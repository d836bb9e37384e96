/** The part of JSON Schema that route schemas use. */
export type JsonSchema = {
  readonly type?: string
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly required?: readonly string[]
  readonly anyOf?: readonly JsonSchema[]
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly format?: string
  readonly minLength?: number
  readonly minimum?: number
  readonly items?: JsonSchema
}

/** Values by the field's name: the ids, slugs and addresses of one tenant. */
export type Known = Readonly<Record<string, unknown>>

/**
 * A valid value for a schema, so that a route is tried with a body that its own schema admits.
 * @throws TypeError for a schema that it does not know, so that no route passes untried
 */
export function sample(schema: JsonSchema, known: Known, name = ''): unknown {
  if (Object.hasOwn(known, name) && admits(schema, known[name])) return known[name]
  if (schema.const !== undefined) return schema.const
  if (schema.enum !== undefined) return schema.enum[0]
  const [first] = schema.anyOf ?? []
  if (first !== undefined) return sample(first, known, name)
  switch (schema.type) {
    case 'object':
      return Object.fromEntries(
        Object.entries(schema.properties ?? {}).map(([key, value]) => [key, sample(value, known, key)]),
      )
    case 'array':
      return [sample(schema.items ?? {}, known, name)]
    case 'string':
      return sampleText(schema)
    case 'integer':
    case 'number':
      return schema.minimum ?? 1
    case 'boolean':
      return true
    default:
      throw new TypeError(`no sample for the field "${name}" of type ${schema.type}`)
  }
}

/** Whether a schema of fixed values has this one; every other schema takes what is known. */
function admits(schema: JsonSchema, value: unknown): boolean {
  if (schema.const !== undefined) return schema.const === value
  if (schema.enum !== undefined) return schema.enum.includes(value)
  return schema.anyOf?.some((one) => admits(one, value)) ?? true
}

function sampleText({ format, minLength = 0 }: JsonSchema): string {
  if (format === 'uuid') return '00000000-0000-4000-8000-000000000000'
  if (format === 'email') return 'somebody@example.com'
  return 'sample'.padEnd(minLength, 'x')
}

/** Fills a route's path, `/teams/:slug`, from what is known. @throws TypeError when a parameter is not */
export function fillPath(path: string, known: Known): string {
  return path.replaceAll(/:([A-Za-z0-9_]+)|\*/g, (match, name: string = match) => {
    if (!Object.hasOwn(known, name)) throw new TypeError(`no value is known for ":${name}"`)
    return encodeURIComponent(String(known[name]))
  })
}
