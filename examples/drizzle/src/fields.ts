/** An object with exactly these fields, for a body: nothing can be sent that was not meant to be. */
export function fields(properties: Readonly<Record<string, object>>): object {
  return { type: 'object', properties, required: Object.keys(properties), additionalProperties: false }
}

/** A path with an id; what is no id is refused before the database is asked. */
export const idParams = fields({ id: { type: 'string', format: 'uuid' } })
export const text = { type: 'string', minLength: 1, maxLength: 200 }
