CREATE TABLE IF NOT EXISTS keylane_barrier (
  saga    TEXT NOT NULL,
  step    TEXT NOT NULL,
  op      TEXT NOT NULL CHECK (op IN ('action', 'undo')),
  verdict TEXT NOT NULL CHECK (verdict IN ('open', 'done', 'failed', 'fenced', 'noop')),
  reply   TEXT NOT NULL,                       -- what was answered, in JSON
  at      TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  PRIMARY KEY (saga, step, op)
) WITHOUT ROWID;
