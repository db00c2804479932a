CREATE TABLE IF NOT EXISTS keylane_outbox (
  seq           INTEGER PRIMARY KEY AUTOINCREMENT,
  id            TEXT NOT NULL DEFAULT (lower(hex(randomblob(16)))),           -- ce_id
  topic         TEXT NOT NULL,
  partition_key TEXT,                                                         -- the record's key: the aggregate
  type          TEXT NOT NULL,                                                -- ce_type
  source        TEXT,                                                         -- ce_source; NULL: the configuration's
  subject       TEXT,                                                         -- ce_subject
  time          TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),         -- ce_time
  content_type  TEXT DEFAULT 'application/json',
  headers       TEXT NOT NULL DEFAULT '{}',                                   -- {"traceparent": "…", "ce_correlationid": "…"}
  payload       BLOB,                                                         -- NULL: a tombstone
  parked        TEXT                                                          -- written by Keylane: why it is not published
);
