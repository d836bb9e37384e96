import { functionRules } from './functions.ts'
import { grantRules } from './grants.ts'
import { keyRules } from './keys.ts'
import { policyRules } from './policies.ts'
import { publicRules } from './public.ts'
import { loginRules, roleRules } from './roles.ts'
import type { Rule } from './rule.ts'
import { serverRules } from './server.ts'
import { sessionRules } from './session.ts'
import { columnRules, tableRules } from './tables.ts'
import { viewRules } from './views.ts'

/** Every rule, by topic, in the order in which findings are told. */
export const rules: Readonly<Record<string, readonly Rule[]>> = {
  logins: loginRules,
  roles: roleRules,
  tables: tableRules,
  columns: columnRules,
  policies: policyRules,
  keys: keyRules,
  grants: grantRules,
  public: publicRules,
  views: viewRules,
  functions: functionRules,
  session: sessionRules,
  server: serverRules,
}
