import { expect, test } from 'vitest'
import { createLane } from '../../../src/service/identity/lane.ts'

/** A task that ends when it is told to. */
function gate(): { task: () => Promise<void>; open: () => void; begun: () => boolean } {
  let open = (): void => {}
  let begun = false
  const promise = new Promise<void>((resolve) => {
    open = resolve
  })
  return {
    task: () => {
      begun = true
      return promise
    },
    open: () => open(),
    begun: () => begun,
  }
}

const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('never more than its width at once, the rest in order of arrival', async () => {
  const lane = createLane({ concurrency: 2, queueLimit: 10 })
  const gates = Array.from({ length: 5 }, gate)
  const runs = gates.map(({ task }) => lane.run(task))
  await tick()
  expect(gates.map(({ begun }) => begun())).toEqual([true, true, false, false, false])
  expect(lane.stats).toEqual({ running: 2, waiting: 3, done: 0, refused: 0 })
  gates[1]?.open()
  await tick()
  expect(gates.map(({ begun }) => begun())).toEqual([true, true, true, false, false])
  for (const { open } of gates) open()
  await Promise.all(runs)
  expect(lane.stats).toEqual({ running: 0, waiting: 0, done: 5, refused: 0 })
})

test('a full queue refuses at once, with 503', async () => {
  const lane = createLane({ concurrency: 1, queueLimit: 1 })
  const first = gate()
  const runs = [lane.run(first.task), lane.run(async () => 'second')]
  await expect(lane.run(async () => 'third')).rejects.toMatchObject({ code: 'busy', status: 503 })
  expect(lane.stats.refused).toBe(1)
  first.open()
  await expect(Promise.all(runs)).resolves.toEqual([undefined, 'second'])
})

test('a task that fails gives its place back', async () => {
  const lane = createLane({ concurrency: 1 })
  await expect(lane.run(() => Promise.reject(new Error('no')))).rejects.toThrow('no')
  await expect(lane.run(async () => 'yes')).resolves.toBe('yes')
})
