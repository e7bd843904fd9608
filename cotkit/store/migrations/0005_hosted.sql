-- What providers tell of a call: tokens written to their cache, and which model version answered.
ALTER TABLE attempt ADD COLUMN n_cache_write_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempt ADD COLUMN served_by TEXT NOT NULL DEFAULT '';
-- Metrics of an attempt beside its outcome: JSON, name -> number.
ALTER TABLE attempt ADD COLUMN metrics TEXT NOT NULL DEFAULT '{}';
-- Continuations to be scored in place of generating.
ALTER TABLE request ADD COLUMN options TEXT NOT NULL DEFAULT '[]';   -- JSON list of strings
