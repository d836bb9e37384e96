import type { FastifyInstance } from 'fastify'
import { HttpProblem, rowsOf, sql as statement } from 'holdfast/fastify'
import { kyselyOf } from 'holdfast/kysely'
import type { RowOf } from 'holdfast'
import { sql } from 'kysely'
import { jsonArrayFrom } from 'kysely/helpers/postgres'
import { can, type manifest } from '../manifest.ts'
import { fields, idParams, text, time } from './fields.ts'
import type { Tables } from './tables.ts'

/** All of it, however much: as lines of JSON, which say at their end that nothing is missing. */
const everyBooking = statement<Pick<RowOf<typeof manifest, 'bookings'>, 'id' | 'title' | 'starts_at' | 'ends_at'>>`
  SELECT id, title, starts_at, ends_at FROM bookings ORDER BY starts_at, id`

/** All routes of the application; Holdfast mounts them under its guard. */
export async function routes(app: FastifyInstance): Promise<void> {
  app.get('/rooms', { config: { access: can('room:read', 'booking:read') } }, async ({ db }) => {
    const rooms = await kyselyOf<Tables>(db)
      .selectFrom('rooms')
      .select((eb) => [
        'rooms.id',
        'rooms.name',
        jsonArrayFrom(
          eb
            .selectFrom('bookings')
            .select(['bookings.id', 'bookings.title', 'bookings.starts_at', 'bookings.ends_at'])
            .whereRef('bookings.room_id', '=', 'rooms.id')
            .where('bookings.ends_at', '>', sql<Date>`now()`)
            .orderBy('bookings.starts_at')
            .limit(20),
        ).as('next'),
      ])
      .orderBy('rooms.name')
      .limit(200)
      .execute()
    return { rooms }
  })

  app.post<{ Body: { name: string } }>(
    '/rooms',
    { config: { access: can('room:create', 'room:read') }, schema: { body: fields({ name: text }) } },
    async ({ db, body: { name } }, reply) => {
      reply.code(201)
      return await kyselyOf<Tables>(db)
        .insertInto('rooms')
        .values({ name })
        .returning(['id', 'name'])
        .executeTakeFirstOrThrow()
    },
  )

  app.post<{ Params: { id: string }; Body: { title: string; starts_at: string; ends_at: string } }>(
    '/rooms/:id/bookings',
    {
      config: { access: can('room:read', 'booking:read', 'booking:create') },
      schema: { params: idParams, body: fields({ title: text, starts_at: time, ends_at: time }) },
    },
    async ({ db, params, body, caller }, reply) => {
      const kysely = kyselyOf<Tables>(db)
      const room = await kysely.selectFrom('rooms').select('id').where('id', '=', params.id).executeTakeFirst()
      if (room === undefined) throw new HttpProblem('not_found')
      const times = { starts_at: new Date(body.starts_at), ends_at: new Date(body.ends_at) }
      // the unit is SERIALIZABLE: of two that look at once, one is run again and then sees the other's
      const taken = await kysely
        .selectFrom('bookings')
        .select('id')
        .where('room_id', '=', room.id)
        .where('starts_at', '<', times.ends_at)
        .where('ends_at', '>', times.starts_at)
        .executeTakeFirst()
      if (taken !== undefined || times.ends_at <= times.starts_at) throw new HttpProblem('conflict')
      reply.code(201)
      return await kysely
        .insertInto('bookings')
        .values({ room_id: room.id, title: body.title, booked_by: caller.userId, ...times })
        .returning(['id', 'title'])
        .executeTakeFirstOrThrow()
    },
  )

  app.get('/bookings/export', { config: { access: can('booking:read'), stream: everyBooking } }, async (request) =>
    rowsOf(request, everyBooking),
  )

  app.delete<{ Params: { id: string } }>(
    '/bookings/:id',
    { config: { access: can('booking:read', 'booking:delete') }, schema: { params: idParams } },
    async ({ db, params }, reply) => {
      const { numDeletedRows } = await kyselyOf<Tables>(db)
        .deleteFrom('bookings')
        .where('id', '=', params.id)
        .executeTakeFirst()
      // somebody else's, or nobody's: one answer
      if (numDeletedRows === 0n) throw new HttpProblem('not_found')
      reply.code(204)
      return undefined
    },
  )
}
