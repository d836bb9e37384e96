import { expect, test } from 'vitest'
import { parseIdentitySettings } from '../../../src/service/identity/settings.ts'

const origin = { public_origin: 'https://app.example.com' }

test('what is not said is closed and short', () => {
  expect(parseIdentitySettings(origin)).toEqual({
    signUpOpen: false,
    publicOrigin: 'https://app.example.com',
    sessionIdleSeconds: 3600,
    sessionAbsoluteSeconds: 86_400,
    signUpTokenSeconds: 1800,
    invitationSeconds: 604_800,
    setupTokenSeconds: 86_400,
  })
})

test('what is said is taken', () => {
  const settings = parseIdentitySettings({ ...origin, sign_up: 'open', session_idle_seconds: 600 })
  expect(settings).toMatchObject({ signUpOpen: true, sessionIdleSeconds: 600 })
})

test.each([
  [undefined, 'identity'],
  [{}, 'http.origin \\(HOLDFAST_ORIGIN\\)'],
  [{ public_origin: 'app.example.com' }, 'http.origin \\(HOLDFAST_ORIGIN\\)'],
  [{ public_origin: 'https://app.example.com/path' }, 'http.origin \\(HOLDFAST_ORIGIN\\)'],
  [{ public_origin: 'https://user@app.example.com' }, 'http.origin \\(HOLDFAST_ORIGIN\\)'],
  [{ public_origin: 'javascript:alert(1)' }, 'http.origin \\(HOLDFAST_ORIGIN\\)'],
  [{ ...origin, sign_up: true }, 'sign_up'],
  [{ ...origin, session_idle_seconds: 0 }, 'session_idle_seconds'],
  [{ ...origin, session_idle_seconds: 179 }, 'session_idle_seconds'],
  [{ ...origin, session_idle_seconds: 200.5 }, 'session_idle_seconds'],
  [{ ...origin, session_idle_seconds: '600' }, 'session_idle_seconds'],
  [{ ...origin, session_idle_seconds: 7200, session_absolute_seconds: 3600 }, 'session_idle_seconds'],
  [{ ...origin, session_absolute_seconds: 1e9 }, 'session_absolute_seconds'],
  [{ ...origin, sign_up_open: true }, 'sign_up_open'],
])('%j is refused, naming %s', (input, setting) => {
  expect(() => parseIdentitySettings(input)).toThrowError(new RegExp(`^${setting} must be `))
})
