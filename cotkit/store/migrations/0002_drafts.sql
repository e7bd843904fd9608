-- Strategies of several answers: earlier rounds, or the samples of a vote.
ALTER TABLE attempt ADD COLUMN drafts TEXT NOT NULL DEFAULT '[]';   -- JSON list of DraftRow
ALTER TABLE attempt ADD COLUMN is_vote INTEGER NOT NULL DEFAULT 0;
