import { expect, it } from 'vitest'
import { torment } from './limits.ts'

/** Texts; `npm run fuzz` asks for 100,000. */
const TEXTS = Number(process.env['HOLDFAST_LIMIT_TEXTS'] ?? 5_000)
/** In milliseconds: some 2 a text, and ten times that on a busy machine. */
const PATIENCE_MS = 60_000 + TEXTS * 20
const SEED = Number(process.env['HOLDFAST_SEED'] ?? 1)

it(
  `neither crashes nor hangs over ${TEXTS} random texts of seed ${SEED}`,
  async () => {
    const { scoped, refused } = await torment(SEED, TEXTS)
    console.log(`seed ${SEED}: ${scoped} scoped`, JSON.stringify(refused))
    expect(scoped).toBeGreaterThan(TEXTS * 0.1)
    expect(Object.keys(refused).length).toBeGreaterThan(8)
    expect(scoped + Object.values(refused).reduce((sum, number) => sum + number, 0)).toBe(TEXTS)
  },
  PATIENCE_MS,
)
