import { type Grants, parseGrants } from '../../../src/core/scope/grants.ts'
import { type Manifest, parseManifest } from '../../../src/core/scope/manifest.ts'

/** Tables of the kernel's tests: owned, of a tenant without owners, shared; keys of every type that is accepted. */
export const archive: Manifest = parseManifest({
  tables: [
    {
      schema: 'app',
      name: 'docs',
      resource: 'doc',
      tenant: 'tenant_id',
      owner: 'owner_id',
      columns: {
        id: { type: 'int8' },
        tenant_id: { type: 'int8' },
        owner_id: { type: 'int8' },
        folder_id: { type: 'int8' },
        title: { type: 'text' },
        body: { type: 'text' },
        size: { type: 'int4' },
      },
    },
    {
      schema: 'app',
      name: 'notes',
      resource: 'note',
      tenant: 'tenant_id',
      owner: 'author',
      columns: {
        tenant_id: { type: 'int8' },
        id: { type: 'int8' },
        author: { type: 'int8' },
        doc_id: { type: 'int8' },
        body: { type: 'text' },
      },
    },
    {
      schema: 'app',
      name: 'folders',
      resource: 'folder',
      tenant: 'tenant_id',
      columns: { id: { type: 'int8' }, name: { type: 'text' }, tenant_id: { type: 'int8' } },
    },
    {
      schema: 'app',
      name: 'kinds',
      resource: 'kind',
      shared: true,
      columns: { id: { type: 'int8' }, label: { type: 'text' } },
    },
    {
      schema: 'app',
      name: 'labels',
      resource: 'label',
      tenant: 'org',
      owner: 'made_by',
      columns: { id: { type: 'int8' }, org: { type: 'text' }, made_by: { type: 'uuid' }, name: { type: 'text' } },
    },
  ],
  roles: { clerk: ['doc:read', 'note:read'] },
})

const verbs = ['read', 'create', 'update', 'delete']
const resources = ['doc', 'note', 'folder', 'label']

/** Every verb on every table; no `reassign`. */
export const all: Grants = parseGrants([...resources.flatMap((r) => verbs.map((verb) => `${r}:${verb}`)), 'kind:read'])

/** Every verb on one's own rows; folders have no owner, so they are the tenant's. */
export const own: Grants = parseGrants([
  ...['doc', 'note', 'label'].flatMap((r) => verbs.map((verb) => `${r}:${verb}@own`)),
  ...verbs.map((verb) => `folder:${verb}`),
  'kind:read',
])
