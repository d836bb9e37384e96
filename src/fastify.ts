/**
 * `holdfast/fastify`: closes a Fastify application by default.
 * @example
 * await app.register(guardPlugin, { guard, origin: 'https://app.example.com' })
 * app.get('/invoices/:id', {
 *   config: { access: can('invoice:read'), first: sql`SELECT id, total FROM invoices WHERE id = ${param('id')}` },
 * }, async (request) => request.first.rows[0])
 */
export { can, minutes, open, signedIn } from './core/guard/access.ts'
export { body, caller, param, query, sql } from './core/guard/sql.ts'
export { type AnswerProblemsOptions, answerProblems } from './service/http/answer-problems.ts'
export { firstOf } from './service/http/first-of.ts'
export { entityTag, expectedRevision } from './service/http/entity-tag.ts'
export { rowsOf } from './service/http/rows-of.ts'
export { guardPlugin, type GuardPluginOptions } from './service/http/guard-plugin.ts'
export { GuardMisuse } from './service/http/passage.ts'
export { HttpProblem, type HttpProblemCode, type Problem, type ProblemDocument } from './service/http/problem.ts'
export {
  type DeclaredRoute,
  formatAccess,
  type RouteDeclaration,
  RouteDeclarationError,
} from './service/http/route-declaration.ts'
