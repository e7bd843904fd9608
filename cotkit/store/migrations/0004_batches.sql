-- Batches at a provider: which of them holds which completion, so that none is paid for twice.
CREATE TABLE batch (
  key         TEXT PRIMARY KEY,   -- 32 hex characters of ours, which the provider can be asked for
  provider    TEXT NOT NULL,
  backend     TEXT NOT NULL,      -- identity.backend_key
  id          TEXT,               -- the provider's; NULL while it is not known to have one
  created_utc TEXT NOT NULL,      -- before it was submitted
  n_calls     INTEGER NOT NULL,   -- calls in it when it was submitted
  status      TEXT NOT NULL CHECK (status IN ('intended', 'submitted', 'collected'))
) STRICT, WITHOUT ROWID;

CREATE TABLE batch_item (
  batch      TEXT NOT NULL REFERENCES batch (key),
  position   INTEGER NOT NULL,    -- of the call in the batch, from 0
  sample     INTEGER NOT NULL,    -- one call may bring several
  completion TEXT NOT NULL,       -- identity.completion_key
  PRIMARY KEY (batch, completion)
) STRICT, WITHOUT ROWID;

CREATE INDEX batch_item_completion ON batch_item (completion);
