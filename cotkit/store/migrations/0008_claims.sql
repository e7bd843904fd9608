-- Who is making which completion now, so that equal commands at once share the work.
CREATE TABLE claimant (
  id   TEXT PRIMARY KEY,          -- host, process and a random part
  beat INTEGER NOT NULL           -- raised every few seconds while the process lives
) STRICT, WITHOUT ROWID;

CREATE TABLE claim (
  completion TEXT PRIMARY KEY,    -- identity.completion_key; the row goes when it is stored
  claimant   TEXT NOT NULL
) STRICT, WITHOUT ROWID;
