import ipaddr from 'ipaddr.js'

/** Prefix that one IPv6 customer has at least: whoever holds it can use 2^64 addresses (CWE-307). */
const IPV6_PREFIX_BITS = 64

/** All requests whose peer is not known share one network: missing is not unlimited. */
const UNKNOWN_NETWORK = 'unknown'

/**
 * Folds an address to its network, so that textual aliases and the addresses of one customer count as one.
 * IPv4, also mapped into IPv6 or translated by NAT64 (RFC 6052): the address; IPv6: its /64.
 *
 * @param address as the socket gave it, a zone id included, or nothing
 */
export function networkOf(address: string | undefined): string {
  const text = (address ?? '').replace(/%.*$/, '')
  if (!ipaddr.isValid(text)) return UNKNOWN_NETWORK
  const parsed = ipaddr.process(text)
  if (parsed instanceof ipaddr.IPv4) return parsed.toString()
  if (parsed.range() === 'rfc6052') return new ipaddr.IPv4(parsed.toByteArray().slice(12)).toString()
  const bytes = parsed.toByteArray().map((byte, index) => (index < IPV6_PREFIX_BITS / 8 ? byte : 0))
  return `${new ipaddr.IPv6(bytes).toString()}/${IPV6_PREFIX_BITS}`
}
