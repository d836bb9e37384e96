import { createServer, type Server, type Socket } from 'node:net'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createConsoleTransport, createSmtpTransport } from '../../../src/service/mail/transport.ts'

/** A relay that takes everything, speaks no TLS and writes down what it was told. */
let relay: Server
let port: number
let heard: string[] = []
let data = ''

beforeAll(async () => {
  relay = createServer((socket: Socket) => {
    let inData = false
    socket.write('220 relay.test ESMTP\r\n')
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      for (const line of chunk.split('\r\n')) {
        if (inData) {
          data += `${line}\n`
          if (line !== '.') continue
          inData = false
          socket.write('250 taken\r\n')
        } else if (line !== '') {
          heard.push(line)
          inData = line === 'DATA'
          if (line.startsWith('EHLO')) socket.write('250-relay.test\r\n250 SMTPUTF8\r\n')
          else socket.write(inData ? '354 go on\r\n' : '250 ok\r\n')
        }
      }
    })
    socket.on('error', () => undefined)
  })
  await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve))
  port = (relay.address() as AddressInfo).port
})
afterAll(() => new Promise((resolve) => relay.close(resolve)))

const settings = { host: '127.0.0.1', secure: false, user: '', password: '', from: 'holdfast@example.com' }
const mail = { id: '3f0c', recipient: 'ada@example.com', message: { subject: 'Grüße', text: 'one\n.\ntwo' } }

test('one mail to one recipient, with a message id of its own', async () => {
  heard = []
  data = ''
  const smtp = await createSmtpTransport({ ...settings, port })
  await smtp.send(mail)
  smtp.close()
  expect(heard.filter((line) => /^(MAIL|RCPT)/.test(line))).toEqual([
    'MAIL FROM:<holdfast@example.com>',
    'RCPT TO:<ada@example.com>',
  ])
  expect(data).toContain('Message-ID: <3f0c@example.com>')
  expect(data).toContain('Auto-Submitted: auto-generated')
  expect(data).not.toMatch(/^X-Mailer/im)
})

test.each([
  'ada@example.com,eve@example.net',
  'ada@example.com\r\nRCPT TO:<eve@example.net>',
  'Ada <eve@example.net>, ada@example.com',
])('what is not one address never becomes two recipients: %j', async (recipient) => {
  heard = []
  const smtp = await createSmtpTransport({ ...settings, port })
  await smtp.send({ ...mail, recipient }).catch(() => undefined)
  smtp.close()
  expect(heard.filter((line) => line.startsWith('RCPT')).length).toBeLessThanOrEqual(1)
  expect(heard).not.toContain('RCPT TO:<eve@example.net>')
})

test('a relay that is not this machine and has no TLS gets nothing', async () => {
  heard = []
  // a host name that resolves to the loopback, but is not written as it
  const smtp = await createSmtpTransport({ ...settings, host: '0.0.0.0', port })
  await expect(smtp.send(mail)).rejects.toThrow()
  smtp.close()
  expect(heard.some((line) => line.startsWith('EHLO'))).toBe(true)
  expect(heard.filter((line) => line.startsWith('MAIL'))).toEqual([])
})

test('a relay that refuses is a failure', async () => {
  const smtp = await createSmtpTransport({ ...settings, port: 1 })
  await expect(smtp.send(mail)).rejects.toMatchObject({ code: 'ESOCKET' })
})

test('in development mails are printed', async () => {
  const printed: string[] = []
  const printer = createConsoleTransport((text) => printed.push(text))
  await printer.send(mail)
  printer.close()
  expect(printed).toEqual(['--- mail to ada@example.com: Grüße\none\n.\ntwo---'])
})
