/** A route as the router knows it. */
export type KnownRoute = { readonly method: string; readonly url: string }

/**
 * Reads the router's own print-out, so that a route registered before the guard, which no hook saw, is found all the
 * same (CWE-306).
 *
 * @param tree as `printRoutes()` gives it: one node a line, four columns a level, its methods in parentheses
 */
export function readRoutes(tree: string): KnownRoute[] {
  const routes: KnownRoute[] = []
  const path: string[] = []
  for (const line of tree.split('\n')) {
    const match = /^((?:│ {3}| {4})*)(?:├── |└── )(.*?)(?: \(([A-Z, -]+)\)(?: \{.*\})?)?$/.exec(line)
    if (match === null) continue
    const [, indent = '', label = '', methods] = match
    path.length = indent.length / 4
    path.push(label === '(empty root node)' ? '' : label)
    if (methods === undefined || methods === '-') continue
    for (const method of methods.split(', ')) routes.push({ method, url: path.join('') })
  }
  return routes
}

/** The same for one route under all names of its parameters: the router keeps the first name it saw. */
export function routeKey({ method, url }: KnownRoute): string {
  return `${method} ${url.replaceAll(/:[A-Za-z0-9_]+/g, ':')}`
}

/** Whether two paths are the same but for a slash at the end, which Fastify adds to a plugin's root by itself. */
export function isSamePath(a: string, b: string): boolean {
  return a.replace(/\/$/, '') === b.replace(/\/$/, '')
}
