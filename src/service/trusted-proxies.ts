import { isIP } from 'node:net'

/** Shortest and longest prefix of a network of proxies, in bits; a shorter one would believe half the internet. */
const PREFIXES: Readonly<Record<number, readonly [shortest: number, longest: number]>> = { 4: [8, 32], 6: [16, 128] }

/**
 * What is wrong with a list of proxies, or nothing. Every address in it may say who a client is, so that a mistyped or
 * boundless one lets clients choose their own address (CWE-348).
 */
export function problemOfProxies(proxies: readonly string[]): string | undefined {
  for (const proxy of proxies) {
    const [address = '', bits, ...more] = proxy.split('/')
    const range = PREFIXES[isIP(address)]
    if (range === undefined || more.length > 0) return `${JSON.stringify(proxy)} is no address`
    if (bits === undefined) continue
    const [shortest, longest] = range
    if (!/^\d{1,3}$/.test(bits) || Number(bits) > longest) return `${JSON.stringify(proxy)} is no network`
    if (Number(bits) < shortest) return `${JSON.stringify(proxy)} is too large a network: at least /${shortest}`
  }
  return undefined
}
