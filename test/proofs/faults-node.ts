/** One node of the service, in a process of its own, that looks at each database connection before it uses it. */
import { loadConfig } from '../../src/service/config.ts'
import { createService } from '../../src/service/service.ts'

const SETTINGS = ['user_id', 'tenant_id', 'role']
  .map((name) => `pg_catalog.current_setting('holdfast.${name}', true) AS ${name}`)
  .join(', ')

let looks = 0
let leftBehind = 0
const service = await createService(
  await loadConfig({ directory: process.env['FAULTS_DIRECTORY'] ?? '' }),
  { print: (line) => process.stderr.write(`${line}\n`), logTo: process.stderr },
  async (ask) => {
    const [row = {}] = await ask(`SELECT ${SETTINGS}`)
    looks++
    if (Object.values(row).some((value) => value !== null && value !== '')) leftBehind++
  },
)
await service.listen()
process.once('SIGTERM', () => {
  process.stdout.write(`${JSON.stringify({ looks, leftBehind, stats: service.database.pools.app.stats })}\n`)
  void service.stop().then(() => process.exit(0))
})
