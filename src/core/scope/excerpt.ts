/** Longest piece of a line that is shown, in columns; a longer line is cut on both sides. */
const MOST_COLUMNS = 100
/** Most columns that are shown before the place meant. */
const MOST_BEFORE = 60

const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' })

/** Scripts and pictures that take two columns on a terminal: Unicode's East Asian Width, W and F (UAX #11). */
const WIDE =
  /[\u1100-\u115f\u231a\u231b\u2329\u232a\u23e9-\u23ec\u2e80-\u303e\u3041-\u4dbf\u4e00-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{16fe0}-\u{18cff}\u{1aff0}-\u{1b2fb}\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}/u

/** Where in a text an offset is, both from 1; columns are characters, as editors count them. */
export function placeOf(text: string, offset: number): { readonly line: number; readonly column: number } {
  const before = text.slice(0, offset).split('\n')
  return { line: before.length, column: Array.from(before.at(-1) ?? '').length + 1 }
}

/**
 * A line of a text, and under it a caret below the place meant.
 * @param offset UTF-16 code units from the text's beginning
 * @param number the line's number, shown before it
 */
export function excerpt(text: string, offset: number, number: number, color: boolean): readonly [string, string] {
  const start = text.lastIndexOf('\n', offset - 1) + 1
  const end = text.indexOf('\n', offset)
  const before = visible(text.slice(start, offset)).replaceAll('\n', ' ')
  const after = visible(text.slice(offset, end === -1 ? undefined : end).replace(/\r$/, ''))
  const lead = cut(characters(before).reverse(), MOST_BEFORE).reverse()
  const tail = cut(characters(after), MOST_COLUMNS - widthOf(lead))
  const gutter = `  ${number} | `
  const mark = color ? '\u001b[31m^\u001b[0m' : '^'
  const blanks = ' '.repeat(widthOf(lead))
  return [`${gutter}${lead.join('')}${tail.join('')}`, `${' '.repeat(gutter.length - 2)}| ${blanks}${mark}`]
}

/**
 * A text as it may go to a terminal: nothing in it moves the cursor, changes colours or turns the direction of writing
 * (CWE-150, CWE-1007). Line feeds stay.
 */
export function visible(text: string): string {
  return text.replaceAll('\t', ' ').replaceAll(/[^\P{Cc}\n]|[\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, '\ufffd')
}

function characters(text: string): string[] {
  return Array.from(graphemes.segment(text), ({ segment }) => segment)
}

/** As many characters as fit, and an ellipsis where some are left out. */
function cut(all: readonly string[], columns: number): string[] {
  let used = 0
  const kept = all.findIndex((character) => (used += widthOf([character])) > columns)
  return kept === -1 ? [...all] : [...all.slice(0, kept), '…']
}

function widthOf(all: readonly string[]): number {
  return all.reduce((sum, character) => sum + (/^\p{M}/u.test(character) ? 0 : WIDE.test(character) ? 2 : 1), 0)
}
