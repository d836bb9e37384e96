import { spawnSync } from 'node:child_process'
import { type TSchema, Type } from '@sinclair/typebox'
import { describe, expect, it } from 'vitest'
import { settings } from '../../src/service/settings.ts'
import { faults, filesBelow, readYaml, root } from './read.ts'

const closed = { additionalProperties: false }
const text = Type.String({ minLength: 1 })
const count = Type.Integer({ minimum: 0 })
const labels = Type.Record(Type.String({ pattern: '^[a-z0-9./-]+$' }), Type.String({ pattern: '^[A-Za-z0-9._-]+$' }))
const metadata = Type.Object({ name: text, labels: Type.Optional(labels) }, closed)
const selector = Type.Object({ matchLabels: labels }, closed)
const probe = Type.Object(
  {
    httpGet: Type.Object({ path: Type.String({ pattern: '^/(?:health|ready)$' }), port: Type.Literal('http') }, closed),
    periodSeconds: count,
    timeoutSeconds: Type.Optional(count),
    failureThreshold: Type.Optional(count),
  },
  closed,
)
const quantity = Type.String({ pattern: '^\\d+(?:m|Mi|Gi)$' })
/** What the standard "restricted" asks for, and more: no container without it. */
const container = Type.Object(
  {
    name: text,
    image: Type.Literal('holdfast'),
    args: Type.Array(text),
    envFrom: Type.Optional(Type.Array(Type.Object({ configMapRef: Type.Object({ name: text }, closed) }, closed))),
    ports: Type.Optional(Type.Array(Type.Object({ name: text, containerPort: count }, closed))),
    securityContext: Type.Object(
      {
        allowPrivilegeEscalation: Type.Literal(false),
        readOnlyRootFilesystem: Type.Literal(true),
        capabilities: Type.Object({ drop: Type.Tuple([Type.Literal('ALL')]) }, closed),
      },
      closed,
    ),
    startupProbe: Type.Optional(probe),
    livenessProbe: Type.Optional(probe),
    readinessProbe: Type.Optional(probe),
    lifecycle: Type.Optional(
      Type.Object(
        { preStop: Type.Object({ exec: Type.Object({ command: Type.Array(text) }, closed) }, closed) },
        closed,
      ),
    ),
    resources: Type.Object(
      {
        requests: Type.Object({ cpu: quantity, memory: quantity }, closed),
        limits: Type.Object({ memory: quantity }, closed),
      },
      closed,
    ),
    volumeMounts: Type.Array(
      Type.Object({ name: text, mountPath: text, readOnly: Type.Optional(Type.Literal(true)) }, closed),
    ),
  },
  closed,
)
const pod = {
  serviceAccountName: Type.Literal('holdfast'),
  automountServiceAccountToken: Type.Literal(false),
  enableServiceLinks: Type.Literal(false),
  securityContext: Type.Object(
    {
      runAsNonRoot: Type.Literal(true),
      runAsUser: Type.Literal(10001),
      runAsGroup: Type.Literal(10001),
      fsGroup: Type.Literal(10001),
      seccompProfile: Type.Object({ type: Type.Literal('RuntimeDefault') }, closed),
    },
    closed,
  ),
  containers: Type.Array(container, { minItems: 1 }),
  volumes: Type.Array(
    Type.Object(
      {
        name: text,
        secret: Type.Optional(Type.Object({ secretName: text, defaultMode: Type.Literal(288) }, closed)),
        configMap: Type.Optional(Type.Object({ name: text }, closed)),
        emptyDir: Type.Optional(Type.Object({ medium: Type.Literal('Memory'), sizeLimit: quantity }, closed)),
      },
      closed,
    ),
  ),
}
const template = (spec: Record<string, TSchema>): TSchema =>
  Type.Object({ metadata: Type.Object({ labels }, closed), spec: Type.Object({ ...pod, ...spec }, closed) }, closed)
const peer = Type.Object(
  { podSelector: Type.Optional(selector), namespaceSelector: Type.Optional(selector) },
  { ...closed, minProperties: 1 },
)
const ports = Type.Array(
  Type.Object({ protocol: Type.Union([Type.Literal('TCP'), Type.Literal('UDP')]), port: count }, closed),
  { minItems: 1 },
)

const object = (apiVersion: string, kind: string, more: Record<string, TSchema>): TSchema =>
  Type.Object({ apiVersion: Type.Literal(apiVersion), kind: Type.Literal(kind), metadata, ...more }, closed)
const schemas: Readonly<Record<string, TSchema>> = {
  Namespace: object('v1', 'Namespace', {}),
  ServiceAccount: object('v1', 'ServiceAccount', { automountServiceAccountToken: Type.Literal(false) }),
  NetworkPolicy: object('networking.k8s.io/v1', 'NetworkPolicy', {
    spec: Type.Object(
      {
        podSelector: Type.Union([selector, Type.Object({}, closed)]),
        // both, or what is not named is open
        policyTypes: Type.Tuple([Type.Literal('Ingress'), Type.Literal('Egress')]),
        ingress: Type.Optional(Type.Array(Type.Object({ from: Type.Array(peer, { minItems: 1 }), ports }, closed))),
        egress: Type.Optional(Type.Array(Type.Object({ to: Type.Array(peer, { minItems: 1 }), ports }, closed))),
      },
      closed,
    ),
  }),
  Job: object('batch/v1', 'Job', {
    spec: Type.Object(
      {
        backoffLimit: count,
        activeDeadlineSeconds: count,
        template: template({ restartPolicy: Type.Literal('Never') }),
      },
      closed,
    ),
  }),
  Deployment: object('apps/v1', 'Deployment', {
    spec: Type.Object(
      {
        replicas: Type.Integer({ minimum: 2 }),
        revisionHistoryLimit: count,
        selector,
        strategy: Type.Object(
          { rollingUpdate: Type.Object({ maxUnavailable: Type.Literal(0), maxSurge: count }, closed) },
          closed,
        ),
        template: template({
          terminationGracePeriodSeconds: count,
          topologySpreadConstraints: Type.Array(
            Type.Object(
              { maxSkew: count, topologyKey: text, whenUnsatisfiable: text, labelSelector: selector },
              closed,
            ),
          ),
        }),
      },
      closed,
    ),
  }),
  Service: object('v1', 'Service', {
    spec: Type.Object(
      { selector: labels, ports: Type.Array(Type.Object({ name: text, port: count, targetPort: text }, closed)) },
      closed,
    ),
  }),
  PodDisruptionBudget: object('policy/v1', 'PodDisruptionBudget', {
    spec: Type.Object({ minAvailable: Type.Integer({ minimum: 1 }), selector }, closed),
  }),
  HorizontalPodAutoscaler: object('autoscaling/v2', 'HorizontalPodAutoscaler', {
    spec: Type.Object(
      {
        scaleTargetRef: Type.Object({ apiVersion: text, kind: Type.Literal('Deployment'), name: text }, closed),
        minReplicas: count,
        maxReplicas: count,
        metrics: Type.Array(Type.Unknown(), { minItems: 1 }),
      },
      closed,
    ),
  }),
}

type Labels = Record<string, string>
type Peer = { podSelector?: { matchLabels?: Labels }; namespaceSelector?: { matchLabels?: Labels } }
type Rule = { from?: Peer[]; to?: Peer[]; ports: { port: number }[] }
type Policy = {
  metadata: { name: string }
  spec: { podSelector: { matchLabels?: Labels }; ingress?: Rule[]; egress?: Rule[] }
}
type Manifest = { kind: string; metadata: { name: string }; spec: Record<string, unknown> }

const folder = 'deploy/kubernetes'
const kustomization = readYaml(`${folder}/kustomization.yaml`)[0] as {
  resources: string[]
  configMapGenerator: { name: string; literals: string[] }[]
}
const manifests = filesBelow(folder)
  .filter((file) => !file.endsWith('/kustomization.yaml'))
  .flatMap((file) => readYaml(file).map((manifest) => ({ file, manifest: manifest as Manifest })))
const of = (kind: string): Manifest[] => manifests.map(({ manifest }) => manifest).filter((each) => each.kind === kind)

/** What lies at a path of an object's spec. @throws TypeError where there is nothing */
function at<Type>(kind: string, ...path: string[]): Type {
  let value: unknown = of(kind)[0]?.spec
  for (const name of path) value = (value as Record<string, unknown>)[name]
  return value as Type
}

describe('deploy/kubernetes', () => {
  it('is what the schemas allow: restricted pods, no token, nothing else', () => {
    expect(manifests.length).toBeGreaterThan(8)
    for (const { file, manifest } of manifests) {
      expect(schemas, `${file}: ${manifest.kind}`).toHaveProperty(manifest.kind)
      expect(faults(schemas[manifest.kind] as TSchema, manifest), `${file}: ${manifest.metadata.name}`).toEqual([])
    }
  })

  it('each file is applied, but for the autoscaler, which says that it is optional', () => {
    const files = new Set(manifests.map(({ file }) => file.slice(folder.length + 1)))
    expect([...files].filter((file) => !kustomization.resources.includes(file))).toEqual(['autoscaler.yaml'])
    expect(kustomization.resources.filter((file) => !files.has(file))).toEqual([])
  })

  it('nothing may reach anything, but for these', () => {
    const policies = of('NetworkPolicy') as unknown as Policy[]
    const named = (name: string): Policy['spec'] =>
      policies.find(({ metadata: { name: each } }) => each === name)?.spec as Policy['spec']
    expect(named('deny-all')).toEqual({ podSelector: {}, policyTypes: ['Ingress', 'Egress'] })
    const component = ({ podSelector }: Peer): string | undefined =>
      podSelector?.matchLabels?.['app.kubernetes.io/component']
    const space = ({ namespaceSelector }: Peer): string | undefined =>
      namespaceSelector?.matchLabels?.['kubernetes.io/metadata.name']
    const said = (rules: Rule[] = []): string[] =>
      rules.flatMap(({ from, to, ports: list }) =>
        (from ?? to ?? []).map((each) => `${component(each) ?? space(each)} ${list.map(({ port }) => port).join(' ')}`),
      )
    expect({
      service: [said(named('service').ingress), said(named('service').egress)],
      migrate: [said(named('migrate').ingress), said(named('migrate').egress)],
      database: [said(named('database').ingress), said(named('database').egress)],
    }).toEqual({
      service: [['ingress-nginx 7070'], ['database 5432 26257', 'kube-system 53 53']],
      migrate: [[], ['database 5432 26257', 'kube-system 53 53']],
      // its console, port 8080, is in none
      database: [
        ['service 5432 26257', 'migrate 5432 26257', 'database 26257'],
        ['database 26257', 'kube-system 53 53'],
      ],
    })
  })

  it('selects the pods that there are', () => {
    const own = at<Labels>('Deployment', 'template', 'metadata', 'labels')
    expect(Object.keys(own).length).toBe(2)
    const selectors = [
      at<Labels>('Deployment', 'selector', 'matchLabels'),
      at<Labels>('Service', 'selector'),
      at<Labels>('PodDisruptionBudget', 'selector', 'matchLabels'),
      (of('NetworkPolicy').find(({ metadata: { name } }) => name === 'service') as unknown as Policy).spec.podSelector
        .matchLabels,
    ]
    for (const each of selectors) expect(each).toEqual(own)
  })

  it('gives the service only settings that there are, and no secret', () => {
    const allowed = settings.filter(({ secret }) => secret !== true).map(({ env }) => env)
    const given = kustomization.configMapGenerator.flatMap(({ literals }) =>
      literals.map((literal) => literal.split('=')[0]),
    )
    expect(given.length).toBeGreaterThan(1)
    expect(given.filter((name) => !allowed.includes(name))).toEqual([])
  })

  const { status } = spawnSync('kubectl', ['version', '--client'])
  it.skipIf(status !== 0)('is put together by kubectl kustomize', () => {
    const built = spawnSync('kubectl', ['kustomize', folder], { cwd: root, encoding: 'utf8' })
    expect({ status: built.status, stderr: built.stderr }).toEqual({ status: 0, stderr: '' })
    expect(built.stdout.match(/^ {2}namespace: holdfast$/gm)?.length).toBeGreaterThan(6)
    expect(built.stdout).toContain('image: holdfast:0.1.0')
  })
  if (status !== 0) console.warn('SKIPPED: kubectl kustomize: kubectl is not there')
})
