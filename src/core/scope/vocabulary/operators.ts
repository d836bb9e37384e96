import type { RefusedGroup } from './refused-functions.ts'

/** Operators of `pg_catalog`, the only schema where one is looked for: by name, so every overload was judged. */
export const ACCEPTED_OPERATORS: Readonly<Record<string, string>> = {
  comparison: '= <> < <= > >=',
  arithmetic: '+ - * / % ^ |/ ||/',
  'bits and patterns': '& | # ~ << >>',
  text: '|| ~* !~ !~* ~~ ~~* !~~ !~~*',
  JSON: '-> ->> #> #>> #- ? ?| ?& @? @@',
  'arrays and ranges': '@> <@ && &< &> -|-',
  'network addresses': '<<= >>=',
  'text search': '!! <->',
}

/** All others. */
export const REFUSED_OPERATORS: readonly RefusedGroup[] = [
  {
    group: 'CockroachDB',
    // CWE-436: what is proven must be what is executed
    why: 'holds an @ that CockroachDB reads apart: there @1 is the first column of a table, hidden or not',
    instead: 'use abs or starts_with',
    names: '@ ^@',
  },
  {
    group: 'geometry',
    why: 'compares shapes',
    instead: 'use <->, && or @>',
    names: '## <<| <^ >^ ?# ?- ?-| ?|| @-@ |&> &<| |>> ~=',
  },
  {
    group: 'bytes',
    why: 'compares bytes and not values, for indexes',
    instead: 'use = or <',
    names: '*< *<= *<> *= *> *>= ~<=~ ~<~ ~>=~ ~>~',
  },
  { group: 'old names', why: 'is an old name', instead: 'use @@', names: '@@@' },
]
