import { valuesOf } from '../../core/guard/credential.ts'
import { Denial } from '../../core/guard/denial.ts'

/** Methods that change nothing (RFC 9110 section 9.2.1): they read only, and need no proof of origin. */
const SAFE: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])

/** Whether a method promises to change nothing. */
export function isSafe(method: string): boolean {
  return SAFE.has(method)
}

/**
 * Refuses a request that another site made a browser send with its cookie (CWE-352, ASVS 3.5.1). A browser says where a
 * request comes from in Sec-Fetch-Site and Origin, an older one in Origin alone: all that it says must hold, and one that
 * says nothing is refused.
 *
 * @param origin the configured origin, such as `https://app.example.com`
 * @throws Denial `cross_site_request` (403)
 */
export function refuseCrossSite(rawHeaders: readonly string[], origin: string): void {
  const sites = valuesOf(rawHeaders, 'sec-fetch-site')
  const origins = valuesOf(rawHeaders, 'origin')
  // `none`: the user's own doing, such as a bookmark. `same-site` is another subdomain, which may be somebody else's.
  const siteProven = sites.length === 1 && (sites[0] === 'same-origin' || sites[0] === 'none')
  const originProven = origins.length === 1 && origins[0] === origin
  // whichever is there must hold, and one must be
  const refused = (sites.length > 0 && !siteProven) || (origins.length > 0 && !originProven)
  if (refused || sites.length + origins.length === 0) throw new Denial('cross_site_request')
}
