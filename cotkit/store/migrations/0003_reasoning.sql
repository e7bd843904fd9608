-- Reasoning that a model kept apart from its answer, for the audit.
ALTER TABLE attempt ADD COLUMN n_reasoning_tokens INTEGER;
ALTER TABLE attempt ADD COLUMN reasoned_apart INTEGER NOT NULL DEFAULT 0;
