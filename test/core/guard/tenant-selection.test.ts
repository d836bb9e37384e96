import { describe, expect, it } from 'vitest'
import type { DenialReason } from '../../../src/core/guard/denial.ts'
import { selectTenant, type TenantSources } from '../../../src/core/guard/tenant-selection.ts'

const secret = 'a-shared-secret-of-the-proxy-that-is-long'
const proxy = { tenantHeader: 'x-tenant', secretHeader: 'x-proxy-secret', secret }
const all: TenantSources = { baseDomain: 'example.com', proxy }

type Case = {
  name: string
  sources?: TenantSources
  headers: string[]
  peer?: boolean
  selectors?: string[]
  ignored?: boolean
  because?: DenialReason
}

const cases: Case[] = [
  { name: 'nothing is named', headers: ['host', 'example.com'], selectors: [] },
  { name: 'a subdomain', headers: ['Host', 'acme.example.com:8443'], selectors: ['acme'] },
  { name: 'a subdomain in capitals, with the root dot', headers: ['host', 'ACME.Example.com.'], selectors: ['acme'] },
  { name: 'a host that only ends alike', headers: ['host', 'evilexample.com'], selectors: [] },
  { name: 'another host', headers: ['host', 'acme.example.com.evil.org'], selectors: [] },
  {
    name: 'a deeper name is passed on and will not be found',
    headers: ['host', 'a.b.example.com'],
    selectors: ['a.b'],
  },
  { name: 'no host', headers: [], selectors: [] },
  { name: 'an address with a port', headers: ['host', '[::1]:7070'], selectors: [] },
  ...[
    'acme.example.com:x',
    'acme.example.com:80:80',
    'acme.example.com:',
    'acme.example.com:123456',
    'acme.example.com/',
    'acme.example.com, globex.example.com',
    'acme.example.com acme',
    'user@acme.example.com',
    'acme.example.com..',
    '..example.com',
    'acme.example.com%2e',
    'acme\u0131.example.com',
    '',
  ].map(
    (host): Case => ({
      name: `a host that is none: ${JSON.stringify(host)}`,
      headers: ['host', host],
      because: 'host_malformed',
    }),
  ),
  { name: 'a host that is none, and no base configured', sources: {}, headers: ['host', 'a b'], selectors: [] },
  { name: 'two hosts', headers: ['host', 'a.example.com', 'host', 'b.example.com'] },
  { name: 'no base configured', sources: {}, headers: ['host', 'acme.example.com'], selectors: [] },
  { name: 'a client that sends the header', headers: ['x-tenant', 'acme'], selectors: [], ignored: true },
  {
    name: 'a client that guesses the secret',
    headers: ['x-tenant', 'acme', 'x-proxy-secret', 'x'],
    selectors: [],
    ignored: true,
  },
  { name: 'an empty secret', headers: ['x-tenant', 'acme', 'x-proxy-secret', ''], selectors: [], ignored: true },
  {
    name: 'the secret twice',
    headers: ['x-tenant', 'acme', 'x-proxy-secret', secret, 'x-proxy-secret', secret],
    selectors: [],
    ignored: true,
  },
  { name: 'the proxy', headers: ['X-Tenant', 'acme', 'X-Proxy-Secret', secret], selectors: ['acme'] },
  { name: 'a proxy known by its certificate', headers: ['x-tenant', 'acme'], peer: true, selectors: ['acme'] },
  { name: 'the proxy with two tenants', headers: ['x-tenant', 'a', 'x-tenant', 'b', 'x-proxy-secret', secret] },
  {
    name: 'a client with two tenants is no source',
    headers: ['x-tenant', 'a', 'x-tenant', 'b'],
    selectors: [],
    ignored: true,
  },
  { name: 'no proxy configured', sources: {}, headers: ['x-tenant', 'acme', 'x-proxy-secret', secret], selectors: [] },
  {
    name: 'two sources are both passed on',
    headers: ['host', 'acme.example.com', 'x-tenant', 'globex', 'x-proxy-secret', secret],
    selectors: ['acme', 'globex'],
  },
  {
    name: 'forwarded headers are no source',
    headers: ['x-forwarded-host', 'acme.example.com', 'forwarded', 'host=acme.example.com'],
    selectors: [],
  },
]

describe('the tenant that a request names', () => {
  it.each(cases)(
    '$name',
    ({ sources = all, headers, peer = false, selectors, ignored = false, because = 'tenant_sources_disagree' }) => {
      const select = () => selectTenant(sources, { rawHeaders: headers, peerVerified: peer })
      if (selectors === undefined) expect(select).toThrow(expect.objectContaining({ because, status: 400 }))
      else expect(select()).toEqual({ selectors, ignored })
    },
  )
})
