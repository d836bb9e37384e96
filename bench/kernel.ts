/**
 * What the kernel costs: a statement that is known, one that was never seen, a process over many distinct texts, and the
 * scoped statement in the database against the one that is written by hand. Fails where memory grows.
 */
import { parseArgs } from 'node:util'
import { loadKernel } from '../src/core/scope/scope.ts'
import { measureMemory, mebibytes, type Memory } from './memory.ts'
import { median } from './median.ts'
import { measurePointQuery, type PointRound } from './point-query.ts'
import { type Cold, type Cost, measureCold, measureHits } from './statements.ts'

type Figures = {
  readonly cold: Cold
  readonly hits: { readonly same: Cost; readonly afresh: Cost }
  readonly memory: Memory | undefined
  readonly point: readonly PointRound[]
}

/** `npm run bench -- kernel`. */
export async function benchKernel(args: readonly string[]): Promise<void> {
  const { values: flags } = parseArgs({
    args: [...args],
    options: {
      texts: { type: 'string', default: '1000000' },
      rounds: { type: 'string', default: '12' },
      json: { type: 'boolean', default: false },
    },
  })
  const [texts, rounds] = [Number(flags.texts), Number(flags.rounds)]
  const say = (line: string): void => void (flags.json || process.stderr.write(`${line}\n`))
  await loadKernel()
  const figures: Figures = {
    cold: measureCold(),
    hits: { same: measureHits(true), afresh: measureHits(false) },
    memory: texts > 0 ? measureMemory(texts, say) : undefined,
    point: rounds > 0 ? await measurePointQuery(rounds, say) : [],
  }
  if (flags.json) console.log(JSON.stringify(figures))
  else print(figures)
  if (figures.memory?.isFlat === false) process.exitCode = 1
}

function print({ cold, hits, memory, point }: Figures): void {
  const line = (name: string, { clock, cpu }: Cost, aim = ''): void =>
    console.log(`  ${name.padEnd(38)}${clock.toFixed(2).padStart(10)}${cpu.toFixed(2).padStart(10)}${aim}`)
  console.log(`\n${'medians of one statement, µs'.padEnd(40)}     clock       CPU`)
  console.log('a statement that is known')
  line('the same string', hits.same, '   aim: under 2')
  line('a string put together afresh', hits.afresh, '   aim: under 2')
  console.log('a join of three tables that was never seen')
  line('admit, rewrite and prove', cold.whole, '   aim: under 1000')
  line('  of which admit', cold.admit)
  line('  rewrite', cold.rewrite)
  line('  prove', cold.prove)
  console.log(`  ${'the first statement in the process'.padEnd(38)}${cold.first.toFixed(2).padStart(10)}`)
  if (memory !== undefined) printMemory(memory)
  if (point.length > 0) printPoint(point)
}

function printMemory({ texts, refused, seconds, looks, heapGrowth, rssGrowth, bounds, isFlat }: Memory): void {
  const last = looks.at(-1)
  console.log(
    `\n${texts} distinct texts in ${seconds.toFixed(0)} s, ${refused} refused; from after the warm-up to the end:`,
  )
  const grown = (name: string, growth: number, bound: number, held = 0): void =>
    console.log(
      `  ${name.padEnd(44)}${mebibytes(growth).padStart(9)} MiB   bound ${mebibytes(bound)}, at the end ${mebibytes(held)}`,
    )
  grown('heap after a collection', heapGrowth, bounds.heap, last?.heap)
  grown('process (RSS)', rssGrowth, bounds.rss, last?.rss)
  console.log(isFlat ? '  flat' : '  NOT FLAT')
}

function printPoint(point: readonly PointRound[]): void {
  console.log(`\na point query, both named, ${point.length} rounds in turns, µs        scoped   by hand`)
  for (const [name, of] of [
    ['there and back', (round: PointRound) => [round.scoped.clock, round.byHand.clock]],
    ['CPU of PostgreSQL', (round: PointRound) => [round.scoped.cpu, round.byHand.cpu]],
  ] as const) {
    const pairs = point.map((round) => of(round).map((time) => time ?? Number.NaN))
    const ratios = pairs.map(([scoped, byHand]) => Number(scoped) / Number(byHand)).sort((a, b) => a - b)
    // where the system does not account for processes
    if (ratios.some(Number.isNaN)) continue
    const [scoped, byHand] = [0, 1].map((side) => median(pairs.map((pair) => Number(pair[side]))).toFixed(1))
    const spread = `${ratios[0]?.toFixed(2)}–${ratios.at(-1)?.toFixed(2)}`
    console.log(
      `  ${name.padEnd(58)}${scoped?.padStart(6)}    ${byHand?.padStart(6)}   ratio ${median(ratios).toFixed(3)} (${spread})   aim: 1.0–1.1`,
    )
  }
}
