import { expect, test } from 'vitest'
import { parseMailSettings } from '../../../src/service/mail/settings.ts'

test.each([
  [undefined, undefined],
  [{}, undefined],
  [{ smtp_url: '' }, undefined],
  [
    { smtp_url: 'smtp://mail.example.com', from: 'hf@example.com' },
    { host: 'mail.example.com', port: 587, secure: false, user: '', password: '', from: 'hf@example.com' },
  ],
  [
    { smtp_url: 'smtps://us%40er:p%2Fw@[::1]:2465', from: 'hf@example.com' },
    { host: '::1', port: 2465, secure: true, user: 'us@er', password: 'p/w', from: 'hf@example.com' },
  ],
])('%j', (input, smtp) => {
  expect(parseMailSettings(input)).toEqual({ smtp })
})

test.each([
  ['smtp', 'mail'],
  [{ smtp_url: 'mail.example.com', from: 'hf@example.com' }, 'mail.smtp_url'],
  [{ smtp_url: 'https://mail.example.com', from: 'hf@example.com' }, 'mail.smtp_url'],
  [{ smtp_url: 'smtp://u:secret@mail.example.com' }, 'mail.from'],
  [{ smtp_url: 'smtp://u:secret@mail.example.com', from: 'Holdfast <hf@example.com>' }, 'mail.from'],
  [{ smtp_url: 'smtp://u:secret@mail.example.com', from: 'a@example.com,b@example.com' }, 'mail.from'],
  [{ form: 'hf@example.com' }, 'mail.form'],
])('%j is refused, naming %s and no password', (input, setting) => {
  expect(() => parseMailSettings(input)).toThrowError(new RegExp(`^${setting} must be (?!.*secret)`))
})
