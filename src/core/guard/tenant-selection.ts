import { createHash, timingSafeEqual } from 'node:crypto'
import { valuesOf } from './credential.ts'
import { Denial } from './denial.ts'

/** Where a request may name a tenant from. A client's own header, query or body is never a source (CWE-639). */
export type TenantSources = {
  /** `example.com`: then `acme.example.com` names the tenant `acme` */
  readonly baseDomain?: string
  /** A reverse proxy that sets a header, and proves itself on each request. An address alone is no proof (CWE-290). */
  readonly proxy?: {
    /** header that carries the tenant's slug or id, in lower case */
    readonly tenantHeader: string
    /** header that carries the shared secret, in lower case */
    readonly secretHeader: string
    /** at least 32 characters */
    readonly secret: string
  }
}

/** What a request's own sources say. They only select: *enter* demands an active membership there. */
export type TenantSelection = {
  /** slugs or ids, none for most requests */
  readonly selectors: readonly string[]
  /** a tenant header came from a peer that has not proven itself: it is no source, and is logged */
  readonly ignored: boolean
}

/** What a request shows of itself. */
export type TenantEvidence = {
  readonly rawHeaders: readonly string[]
  /** true when the peer's client certificate was verified against the proxy's authority */
  readonly peerVerified: boolean
}

/** `host[:port]` of a name or an IP literal (RFC 9110 section 7.2), in the letters that DNS names have. */
const HOST = /^(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?|\[[0-9a-f:.]+\])(?::\d{1,5})?$/i

/**
 * @throws Denial `tenant_sources_disagree` (400) when a source is there twice, `host_malformed` (400) when the Host that
 *   would name a tenant is no `host[:port]`: it must not pass for one that names none
 */
export function selectTenant(sources: TenantSources, { rawHeaders, peerVerified }: TenantEvidence): TenantSelection {
  const selectors: string[] = []
  let ignored = false
  if (sources.baseDomain !== undefined) {
    const hosts = valuesOf(rawHeaders, 'host')
    if (hosts.length > 1) throw new Denial('tenant_sources_disagree')
    const [host] = hosts
    if (host !== undefined && !HOST.test(host)) throw new Denial('host_malformed')
    const slug = subdomainOf(host ?? '', sources.baseDomain)
    if (slug !== undefined) selectors.push(slug)
  }
  if (sources.proxy !== undefined) {
    const named = valuesOf(rawHeaders, sources.proxy.tenantHeader)
    if (named.length > 0 && !peerVerified && !proves(rawHeaders, sources.proxy)) ignored = true
    else if (named.length > 1) throw new Denial('tenant_sources_disagree')
    else selectors.push(...named)
  }
  return { selectors, ignored }
}

function subdomainOf(host: string, base: string): string | undefined {
  const name = host.toLowerCase().replace(/:\d+$/, '').replace(/\.$/, '')
  const suffix = `.${base.toLowerCase()}`
  return name.endsWith(suffix) ? name.slice(0, -suffix.length) : undefined
}

/** Compares digests, so that neither the length nor the first difference shows in time (CWE-208). */
function proves(rawHeaders: readonly string[], proxy: NonNullable<TenantSources['proxy']>): boolean {
  const given = valuesOf(rawHeaders, proxy.secretHeader)
  const [only] = given
  return given.length === 1 && only !== undefined && timingSafeEqual(digest(only), digest(proxy.secret))
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
