import { manifest } from './manifest.ts'
import { routes } from './src/routes.ts'

export default { application: { manifest, migrations: './migrations', routes } }
