/**
 * What Holdfast costs, in figures that anybody can make again.
 *
 *   npm run bench                       what the guard costs a read and a write
 *   npm run bench -- kernel             what the kernel costs a statement
 *   npm run bench -- --help             the flags of each
 */
const HELP = `npm run bench [-- guard] [flags]    what the guard costs a read and a write
  --rounds N         rounds that count, after one that warms up (8)
  --seconds S        length of a round for each endpoint and verb (1.5)
  --connections N    connections of the client (20)
  --network MS       round trip to the database in the second section, in ms (2); 0 leaves the section out
  --json             one line of JSON

npm run bench -- kernel [flags]         what the kernel costs a statement
  --texts N          distinct texts over which memory must stay flat (1000000), at least 250000; 0 leaves it out
  --rounds N         rounds against the database (12); 0 leaves it out
  --json             one line of JSON`

const [first = '', ...rest] = process.argv.slice(2)
if (process.argv.includes('--help')) console.log(HELP)
else if (first === 'kernel') await (await import('./kernel.ts')).benchKernel(rest)
else await (await import('./guarded.ts')).benchGuard(first === 'guard' ? rest : process.argv.slice(2))
