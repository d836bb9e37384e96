/** The configuration is not usable: names the setting, where it came from and what is allowed; never a secret's value. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly code = 'config_invalid'
}
