import { contractOnLocal } from './contract-local.ts'
import { allVariants } from './contract.ts'

await contractOnLocal('postgresql', allVariants)
