import { readTarget } from '../../../../src/core/database/connection-target.ts'
import { prove } from '../../../../src/tools/inspect/proof/prove.ts'
import { allTables } from './proof-database.ts'

// A process that proves again and again, for the tests to kill: migrator's address as JSON in the environment.
const migrator = JSON.parse(process.env['PROOF_TARGET'] ?? '') as ReturnType<typeof readTarget>
for (;;) await prove({ migrator, tables: allTables })
