CREATE TABLE IF NOT EXISTS keylane_barrier (
  saga    text NOT NULL,
  step    text NOT NULL,
  op      text NOT NULL CHECK (op IN ('action', 'undo')),
  verdict text NOT NULL CHECK (verdict IN ('open', 'done', 'failed', 'fenced', 'noop')),
  reply   text NOT NULL,                       -- what was answered, in JSON
  at      timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (saga, step, op)
);
