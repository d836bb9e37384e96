import { contractOnLocal } from './contract-local.ts'
import { plainVariants } from './contract.ts'

await contractOnLocal('pgbouncer', plainVariants)
