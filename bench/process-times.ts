import { readdirSync, readFileSync } from 'node:fs'

/**
 * CPU time in µs of a process and all its children, as the kernel accounts it; nothing where there is no /proc.
 * Processes that have ended meanwhile are missed: a pool keeps its connections.
 */
export function cpuOfChildren(pid: number): number | undefined {
  try {
    let nanoseconds = 0
    for (const name of readdirSync('/proc')) {
      if (/^\d+$/.test(name) && (Number(name) === pid || parentOf(name) === pid)) nanoseconds += timeOf(name)
    }
    return nanoseconds / 1000
  } catch {
    return undefined
  }
}

function parentOf(pid: string): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // after the name, which stands in parentheses and may hold anything: state, then the parent
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
  } catch {
    return undefined
  }
}

function timeOf(pid: string): number {
  try {
    return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0])
  } catch {
    return 0
  }
}
