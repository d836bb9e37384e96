import { beforeAll, expect, it } from 'vitest'
import { loadKernel } from '../../../src/core/scope/grammar.ts'
import { inputsOf } from '../../../src/tools/inspect/policy-inputs.ts'

beforeAll(loadKernel)
const S = "current_setting('holdfast.tenant_id', true)"

it.each([
  [`tenant_id = NULLIF(${S}, '')::uuid`, ['']],
  // as CockroachDB prints it
  [`tenant_id = NULLIF(current_setting('holdfast.tenant_id':::STRING, true), '':::STRING)::UUID`, ['']],
  [`(tenant_id = '1':::INT8::INT8) OR (tenant_id = ':::')`, ['1', ':::']],
  [`tenant_id = 42 AND pg_catalog.current_setting('HOLDFAST.tenant_id') <> 'x'`, ['42', 'x']],
  ['tenant_id = ANY (ARRAY[NULL::uuid])', []],
])('%s has these constants', (expression, constants) => {
  expect(inputsOf(expression, 'tenant_id')).toEqual({ constants })
})

it.each([
  ['status = $$open$$', /looks at status, not only at tenant_id/],
  ['invoices.tenant_id IS NULL', /looks at invoices\.tenant_id/],
  ['invoices.* IS NULL', /looks at invoices\.the whole row/],
  [`tenant_id = app.tenant()`, /calls app\.tenant/],
  [`tenant_id = lower(${S})`, /calls lower/],
  [`tenant_id = current_setting('app.' || 'tenant', true)`, /compares by \|\|/],
  [`tenant_id = current_setting(${S}, true)`, /reads the setting/],
  [`tenant_id = (SELECT id FROM app.open)`, /another table/],
  [`tenant_id IN (SELECT 1)`, /another table/],
  [`tenant_id OPERATOR(app.=) ${S}`, /compares by =/],
  [`tenant_id = ${S}::app.uuid`, /casts to uuid/],
  [`tenant_id::varchar(3) = ${S}`, /casts to varchar/],
  [`tenant_id::name = ${S}`, /casts to name/],
  ['current_user = session_user', /cannot be tried out/],
  ['true) OR (true', /./],
  ['true; SELECT true', /no single expression/],
  ['true FROM app.open', /no single expression/],
  ['tenant_id = CASE', /not understood/],
])('%s cannot be judged', (expression, because) => {
  expect(inputsOf(expression, 'tenant_id')).toEqual({ because: expect.stringMatching(because) })
})
