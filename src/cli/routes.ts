import { type Command, readArguments } from './command.ts'

const help = `holdfast routes: list all routes, the service's and your application's, and who may use them

  --config FILE  configuration file with the application
  --json         print them as JSON`

/** `holdfast routes`: from the declarations themselves, so it cannot be out of date. Needs no database. */
export const routes: Command = {
  help,
  async run(args, { out, environment, directory }) {
    const { values } = readArguments(args, { config: { type: 'string' }, json: { type: 'boolean' } })
    const { loadSchema } = await import('../service/config.ts')
    const { application } = await loadSchema({
      environment,
      directory,
      ...(values.config === undefined ? {} : { file: values.config }),
    })
    const { listRoutes } = await import('../service/http/list-routes.ts')
    const { formatAccess } = await import('../service/http/route-declaration.ts')
    const rows = (await listRoutes(application?.routes)).flatMap(({ methods, url, access, pool, strict, first }) =>
      methods.map((method) => ({
        method,
        url,
        access: formatAccess(access),
        pool: access.kind === 'open' ? null : pool,
        strict,
        first: first !== undefined,
      })),
    )
    if (values.json === true) {
      out(JSON.stringify(rows))
      return 0
    }
    const width = Math.max(...rows.map(({ url }) => url.length))
    for (const { method, url, access, strict } of rows) {
      out(`${method.padEnd(7)} ${url.padEnd(width)}  ${access}${strict ? ', strict' : ''}`)
    }
    return 0
  },
}
