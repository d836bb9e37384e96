import type { FastifyInstance, FastifySchema } from 'fastify'
import { type Access, open } from '../../core/guard/access.ts'
import { SESSION_COOKIE } from '../../core/guard/credential.ts'
import { version } from '../version.ts'
import { PROBLEM_TYPE } from './problem.ts'
import { docsLook } from './docs-look.ts'
import { formatAccess } from './route-declaration.ts'

/** No script, style, image or request but our own; Swagger UI sets styles of elements from its scripts. */
const DOCS_CSP =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
  "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/** OpenAPI 3.1 from the routes' own schemas. Register before the routes that it describes. */
export async function describeRoutes(app: FastifyInstance, origin: string): Promise<void> {
  const { default: swagger } = await import('@fastify/swagger')
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Holdfast',
        version,
        description: 'Sign-in, sessions, tenants and teams. Errors are problems (RFC 9457) with a stable `code`.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } as { name: string },
      },
      servers: [{ url: origin }],
      components: {
        securitySchemes: {
          bearer: { type: 'http', scheme: 'bearer', description: 'The token that signing in gave.' },
          cookie: { type: 'apiKey', in: 'cookie', name: SESSION_COOKIE },
        },
      },
    },
    transform: ({ schema, url, route }) => ({ schema: describe(schema, route.config?.access), url }),
  })
}

/** `/openapi.json`, and `/docs` to browse it; nothing is loaded from anywhere else. */
export async function serveDescription(app: FastifyInstance): Promise<void> {
  let text: string | undefined
  app.get(
    '/openapi.json',
    { config: { access: open('the description of the API is public') }, schema: { hide: true } },
    async (_request, reply) => {
      text ??= JSON.stringify(app.swagger())
      reply.type('application/json')
      return text
    },
  )
  await app.register(async (docs) => {
    // Swagger UI's routes cannot declare an access themselves
    docs.addHook('onRoute', (route) => {
      route.config = { ...route.config, access: open('the description of the API is public') }
    })
    const { default: swaggerUi } = await import('@fastify/swagger-ui')
    await docs.register(swaggerUi, {
      routePrefix: '/docs',
      ...docsLook,
      staticCSP: DOCS_CSP,
      // by default the browser would send the document to a validator on the web
      uiConfig: { url: '/openapi.json', validatorUrl: null } as Record<string, unknown>,
    })
  })
}

type Described = FastifySchema & { hide?: boolean; response?: Record<string, unknown>; summary?: string }

/** Adds what a declaration says: who may, with which credential, and that every failure is a problem. */
function describe(given: FastifySchema | undefined, access: Access | undefined): FastifySchema {
  const schema = (given ?? {}) as Described
  if (access === undefined || schema.hide === true) return { ...schema, hide: true } as FastifySchema
  const described: Record<string, unknown> = {
    ...schema,
    'x-holdfast-access': formatAccess(access),
    security: access.kind === 'open' ? [] : [{ bearer: [] }, { cookie: [] }],
    response: {
      ...schema.response,
      default: { description: 'A problem', content: { [PROBLEM_TYPE]: { schema: PROBLEM_SCHEMA } } },
    },
  }
  return described as FastifySchema
}

const PROBLEM_SCHEMA = {
  type: 'object',
  required: ['type', 'title', 'status', 'code', 'request_id'],
  properties: {
    type: { type: 'string', format: 'uri-reference' },
    title: { type: 'string' },
    status: { type: 'integer' },
    code: { type: 'string', description: 'stable' },
    detail: { type: 'string' },
    request_id: { type: 'string' },
    errors: {
      type: 'array',
      items: {
        type: 'object',
        required: ['in', 'path', 'message'],
        properties: { in: { type: 'string' }, path: { type: 'string' }, message: { type: 'string' } },
      },
    },
  },
}
