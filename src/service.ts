/**
 * `holdfast/service`: the whole service, to be run inside another program.
 * @example const service = await createService(await loadConfig(), { print: console.log, logTo: process.stderr })
 */
export { type Config, type ConfigSources, loadConfig } from './service/config.ts'
export { ConfigError } from './service/config-error.ts'
export { createService, type Service, type ServiceOutput } from './service/service.ts'
export { StartError } from './service/start-error.ts'
