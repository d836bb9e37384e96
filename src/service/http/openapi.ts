import type { FastifyInstance, FastifySchema } from 'fastify'
import { open } from '../../core/guard/access.ts'
import { SESSION_COOKIE } from '../../core/guard/credential.ts'
import { version } from '../version.ts'
import { documentOf, PROBLEM_TYPE, problem } from './problem.ts'
import { docsLook } from './docs-look.ts'
import { IDEMPOTENCY_KEY, KEY_DESCRIPTION } from './idempotency.ts'
import { formatAccess, type Idempotent, type RouteDeclaration } from './route-declaration.ts'

/** No script, style, image or request but our own; Swagger UI sets styles of elements from its scripts. */
const DOCS_CSP =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
  "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/** OpenAPI 3.1 from the routes' own schemas. Register before the routes that it describes. */
export async function describeRoutes(app: FastifyInstance): Promise<void> {
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
      // relative: it is tried out on the address that the page was opened under
      servers: [{ url: '/' }],
      components: {
        securitySchemes: {
          bearer: { type: 'http', scheme: 'bearer', description: 'The token that signing in gave.' },
          cookie: { type: 'apiKey', in: 'cookie', name: SESSION_COOKIE },
        },
      },
    },
    transform: ({ schema, url, route }) => ({ schema: describe(schema, route.config), url }),
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
      uiConfig: { validatorUrl: null } as Record<string, unknown>,
    })
  })
}

type Described = FastifySchema & { hide?: boolean; response?: Record<string, object>; description?: string }

/** What each answer that is no problem means. */
const ANSWERS: Readonly<Record<string, string>> = {
  200: 'What was asked for.',
  201: 'It was made.',
  202: 'It was taken; the rest comes by mail.',
  204: 'It was done, and there is nothing to say of it.',
}

/** Adds what a declaration says: who may, with which credential, under which key, and that every failure is a problem. */
function describe(given: FastifySchema | undefined, config: RouteDeclaration | undefined): FastifySchema {
  const schema = (given ?? {}) as Described
  const { access, idempotent = 'no' } = config ?? {}
  if (access === undefined || schema.hide === true) return { ...schema, hide: true } as FastifySchema
  const answers = Object.entries(schema.response ?? {}).map(([status, answer]) => [
    status,
    { 'x-response-description': ANSWERS[status] ?? 'The answer.', ...answer },
  ])
  const who = `Access: \`${formatAccess(access)}\`.`
  const described: Record<string, unknown> = {
    ...schema,
    description: schema.description === undefined ? who : `${schema.description}\n\n${who}`,
    'x-holdfast-access': formatAccess(access),
    ...(idempotent === 'no' ? {} : { headers: withKey(schema.headers, idempotent) }),
    security: access.kind === 'open' ? [] : [{ bearer: [] }, { cookie: [] }],
    response: {
      ...(Object.fromEntries(answers) as Record<string, unknown>),
      default: {
        description: 'A problem: its `code` says which.',
        content: { [PROBLEM_TYPE]: { schema: PROBLEM_SCHEMA, example: PROBLEM_EXAMPLE } },
      },
    },
  }
  return described as FastifySchema
}

type HeadersSchema = { readonly properties?: Record<string, unknown>; readonly required?: readonly string[] }

/** The headers that a route has, and the key. Only described: the guard reads it itself. */
function withKey(given: unknown, idempotent: Idempotent): object {
  const { properties, required = [], ...rest } = (given ?? {}) as HeadersSchema
  const key = { type: 'string', description: KEY_DESCRIPTION, maxLength: 257 }
  return {
    ...rest,
    type: 'object',
    properties: { ...properties, [IDEMPOTENCY_KEY]: key },
    required: idempotent === 'required' ? [...required, IDEMPOTENCY_KEY] : required,
  }
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

const PROBLEM_EXAMPLE = documentOf(problem('not_found'), 'uX3vYt0Qm2kZr8Lw')
