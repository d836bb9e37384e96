import { allVariants, contract } from './contract.ts'

contract('embedded', allVariants)
contract('cockroachdb', allVariants)
