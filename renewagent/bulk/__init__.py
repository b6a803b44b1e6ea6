"""The bulk check: which of millions of certificates are affected, and by which rule?

    sources  ->  Piece  ->  Rows  ->  Columns  ->  Judged  ->  Outcome  ->  files, summary, chart
    (parent)     (a task, in whatever process)                             (parent, in order)

- `rows.Piece` is a stretch of one source: a range of a file, octets that came down a pipe, some row groups. It can be
  sent to another process or machine, and is small enough for its memory.
- `rows.Rows` is what one piece holds, by blocks: one run of octets (`octets.Octets`) with the columns of places where
  each certificate starts and ends, the rows that hold none and why (`faults`), and what else is said of each row.
- `walk.Columns` is what the column-wise walk read: serial, issuer, both dates, key usage, signature algorithm, kind and
  size of the key; and for each row whether it was `taken`. A row that was not goes to `exact`, to ask `cryptography`.
- `verdicts.Judged` has one verdict a row and the rule that hit; `outcome.Outcome` the counts and the rows to be told.

`check.check` ties them together. The walk, the verdicts and what they use are judgement: they touch nothing.
Only `sources`, `results`, `engines` and `check` read, write and start processes.
"""
