-- Completions by content: what was asked of which backend, and what came back.
CREATE TABLE backend (
  key  TEXT PRIMARY KEY,
  info TEXT NOT NULL              -- BackendInfo as JSON
) STRICT, WITHOUT ROWID;

CREATE TABLE request (
  key      TEXT PRIMARY KEY,
  messages TEXT NOT NULL,         -- JSON list of {role, content}
  decoding TEXT NOT NULL          -- Decoding as JSON
) STRICT, WITHOUT ROWID;

CREATE TABLE completion (
  key         TEXT PRIMARY KEY,   -- identity.completion_key(backend, request, sample)
  backend     TEXT NOT NULL REFERENCES backend (key),
  request     TEXT NOT NULL REFERENCES request (key),
  sample      INTEGER NOT NULL,
  body        TEXT NOT NULL,      -- Completion as JSON
  created_utc TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Runs by content, and what their attempts came to.
CREATE TABLE run (
  id          TEXT PRIMARY KEY,   -- 12 hex characters of the hash of what it does
  spec        TEXT NOT NULL,      -- RunSpec as JSON
  backend     TEXT NOT NULL REFERENCES backend (key),
  status      TEXT NOT NULL CHECK (status IN ('running', 'complete', 'incomplete')),
  created_utc TEXT NOT NULL,
  updated_utc TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE attempt (
  run                TEXT NOT NULL REFERENCES run (id),
  arm                TEXT NOT NULL,
  problem_id         TEXT NOT NULL,
  sample             INTEGER NOT NULL,
  position           INTEGER NOT NULL,  -- order of the plan, so that reports never depend on arrival
  outcome            TEXT NOT NULL,
  text               TEXT NOT NULL,
  gold               TEXT NOT NULL,
  readings           TEXT NOT NULL,     -- JSON: reader -> [value, rule, correct]
  truncated          INTEGER NOT NULL,
  n_calls            INTEGER NOT NULL,
  n_prompt_tokens    INTEGER,
  n_shared_tokens    INTEGER NOT NULL,
  n_generated_tokens INTEGER,
  seconds            REAL NOT NULL,
  n_steps            INTEGER,
  cluster            TEXT,
  error              TEXT,
  turns              TEXT NOT NULL,     -- JSON list: one list of completion keys for each turn
  PRIMARY KEY (run, arm, problem_id, sample)
) STRICT, WITHOUT ROWID;
