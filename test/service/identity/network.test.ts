import { expect, test } from 'vitest'
import { networkOf } from '../../../src/service/identity/network.ts'

test.each([
  ['192.0.2.7', '192.0.2.7'],
  ['::ffff:192.0.2.7', '192.0.2.7'],
  ['::ffff:c000:207', '192.0.2.7'],
  ['64:ff9b::192.0.2.7', '192.0.2.7'],
  ['2001:db8:1:2::1', '2001:db8:1:2::/64'],
  ['2001:db8:1:2:ffff:ffff:ffff:ffff', '2001:db8:1:2::/64'],
  ['2001:0DB8:0001:0002:0:0:0:9', '2001:db8:1:2::/64'],
  ['2001:db8:1:3::1', '2001:db8:1:3::/64'],
  ['fe80::1%eth0', 'fe80::/64'],
  ['::1', '::/64'],
  ['', 'unknown'],
  [undefined, 'unknown'],
  ['not an address', 'unknown'],
  ['/run/socket', 'unknown'],
])('%j belongs to %j', (address, network) => {
  expect(networkOf(address)).toBe(network)
})

test('a thousand addresses of one /64, in any spelling, are one network', () => {
  const networks = new Set<string>()
  for (let index = 0; index < 1000; index++) {
    const tail = (index * 7919).toString(16)
    networks.add(
      networkOf(index % 2 === 0 ? `2001:db8::${tail.slice(-4)}` : `2001:0DB8:0:0:ABCD:0:0:${tail.slice(-4)}`),
    )
  }
  expect([...networks]).toEqual(['2001:db8::/64'])
})
