import { type TObject, type TProperties, Type } from '@sinclair/typebox'

/**
 * Fields that several routes take or give. The schema bounds size and shape; what a value means is judged by the room
 * that owns it.
 */

/** An object that takes no other fields: nothing can be assigned that was not meant to be (CWE-915, ASVS 15.3.3). */
export function strict<Fields extends TProperties>(fields: Fields): TObject<Fields> {
  return Type.Object(fields, { additionalProperties: false })
}

export const uuid = Type.String({ format: 'uuid', maxLength: 36 })

/** RFC 3339, UTC. */
export const instant = Type.Unsafe<Date>({ type: 'string', format: 'date-time' })

/** An e-mail address: 254 octets at most (RFC 5321 section 4.5.3.1.3). */
export const email = Type.String({ minLength: 3, maxLength: 254 })

/** Four times the longest password in code points, so that the room's own answer says what is wrong. */
export const password = Type.String({ minLength: 1, maxLength: 1024 })

/** A name as people write it. */
export const name = Type.String({ minLength: 1, maxLength: 200 })

/** A DNS label: a tenant's may be a subdomain. */
export const slug = Type.String({
  minLength: 1,
  maxLength: 32,
  pattern: '^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$',
})

/** A slug in a path: one that cannot be is as unknown as any, and the answer 404. */
export const pathSlug = Type.String({ minLength: 1, maxLength: 64 })

/** A tenant's slug, or its id. */
export const slugOrId = Type.String({ minLength: 1, maxLength: 36, pattern: '^[A-Za-z0-9-]+$' })

/** A single-use secret: four characters of prefix and 43 of base64url. */
export const oneTimeToken = Type.String({ minLength: 1, maxLength: 128 })

/** A tenant's role; which there are is the configuration's business. */
export const role = Type.String({ minLength: 1, maxLength: 63, pattern: '^[a-z][a-z0-9_-]*$' })

export const tenantView = strict({ id: uuid, slug, name, role: Type.String() })
