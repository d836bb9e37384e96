/** What JSON lets through and a terminal may obey: control characters above ASCII, separators, and what writes backwards. */
const UNSEEN = /[\u007f-\u009f\u2028\u2029]|\p{Cf}/gu

/** A value as one line of JSON that a terminal shows and does not obey (CWE-150, CWE-1007). It reads back as the same. */
export function jsonLine(value: unknown): string {
  return JSON.stringify(value).replaceAll(UNSEEN, (character) =>
    character
      .split('')
      .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
      .join(''),
  )
}
